"""What every resource of the server is given: store, clock, live rows, who is asking, our own judgement."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from kaizen_security.contract.action import Action
from kaizen_security.contract.boundary import boundary_key
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.declared import extended
from kaizen_security.contract.finding import Finding
from kaizen_security.runtime.clock import Clock
from kaizen_security.server.auth import Auth
from kaizen_security.server.changes import Changes
from kaizen_security.server.evaluate import Evaluator
from kaizen_security.server.exports import ServerExports
from kaizen_security.server.http import unauthorized
from kaizen_security.server.limits import Limits
from kaizen_security.server.live import Live
from kaizen_security.server.metrics import Metrics
from kaizen_security.server.reasoning import ServerReasoning
from kaizen_security.server.settings import Settings
from kaizen_security.store.base import Agent, Deleted, Organisation, Store

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """``store``'s methods block, so a resource waits for them with ``await context.call(context.store.agents, organisation)``.

    After a change of policies, agents or suppressions: ``await context.changed(organisation, agent)``; of held actions:
    ``context.holds.happened(organisation)``.
    """

    store: Store
    clock: Clock
    live: Live
    auth: Auth
    evaluator: Evaluator
    changes: Changes
    holds: Changes
    exports: ServerExports
    reasoning: ServerReasoning
    metrics: Metrics
    limits: Limits
    settings: Settings
    executor: Executor
    one_aside: Executor
    _organisations: dict[int, Organisation] = field(default_factory=dict)
    _declaring: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a blocking method of the store beside the event loop and give its result."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            return await loop.run_in_executor(self.executor, lambda: function(*args, **kwargs))
        finally:
            self.metrics.store["call"].observe(loop.time() - began)

    async def aside(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run long work in the one thread for it: whoever sends much waits for each other, and nobody else does."""
        return await asyncio.get_running_loop().run_in_executor(self.one_aside, lambda: function(*args, **kwargs))

    async def organisation(self, number: int) -> Organisation:
        """An organisation's name and keys, which never change. Raises ApiError (401)."""
        found = self._organisations.get(number)
        if found is None:
            found = await self.call(self.store.organisation, number)
            if found is None:
                raise unauthorized("the organisation is gone")
            self._organisations[number] = found
        return found

    async def boundary_key(self, organisation: int) -> bytes:
        """What keys the hashes that stand for values of its agents (``contract.boundary.outward``)."""
        return boundary_key((await self.organisation(organisation)).boundary_secret)

    async def changed(self, organisation: int, agent: str = "") -> None:
        """Put a change in force here, then tell whoever waits for one."""
        await self.call(self.evaluator.changed, organisation, agent)
        self.changes.happened(organisation)

    async def declare(self, organisation: int, agent: str, declaration: Declaration) -> Agent:
        """Replace what an agent declares, and put it in force."""
        async with self._declaring:
            found = await self.call(self.store.declare, organisation, agent, declaration, at=self.clock())
        await self.changed(organisation, agent)
        return found

    async def widen(self, organisation: int, agent: str, action: Action, evidence: Iterable[Finding]) -> Agent:
        """Declare besides what is declared what a person called normal, and put it in force; of several at once none is lost."""
        async with self._declaring:
            known = await self.call(self.store.agent, organisation, agent)
            wider = extended(Declaration() if known is None else known.declaration, action, evidence)
            found = await self.call(self.store.declare, organisation, agent, wider, at=self.clock())
        await self.changed(organisation, agent)
        return found

    async def revoke_key(self, organisation: int, key_id: str) -> bool:
        """End a key, also for who waits with it; whether there was such a live one."""
        done = await self.call(self.store.revoke_key, organisation, key_id, at=self.clock())
        if done:
            self.auth.forget_keys()
            self.changes.happened(organisation)
        return done

    async def forget(self, organisation: int, agent: str) -> bool:
        """Forget what an agent normally does, here and in the store; whether there is such an agent."""
        done = await self.call(self.store.reset, organisation, agent, at=self.clock())
        if done:
            await self.call(self.evaluator.forget, organisation, agent)
            await self.changed(organisation, agent)
        return done

    async def delete(self, organisation: int, agent: str) -> Deleted | None:
        """Delete all that is kept of an agent, here and in the store; None when there is no such agent."""
        done = await self.call(self.evaluator.delete, organisation, agent)
        if done is not None:
            await self.changed(organisation, agent)
        return done
