"""What every resource of the server is given: store, clock, live rows, who is asking."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from kaizen_security.runtime.clock import Clock
from kaizen_security.server.auth import Auth
from kaizen_security.server.live import Live
from kaizen_security.store.base import Store

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """``store``'s methods block, so a resource waits for them with ``await context.call(context.store.agents, organisation)``."""

    store: Store
    clock: Clock
    live: Live
    auth: Auth
    executor: Executor

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking method of the store beside the event loop and give its result."""
        return await asyncio.get_running_loop().run_in_executor(self.executor, lambda: function(*args, **kwargs))
