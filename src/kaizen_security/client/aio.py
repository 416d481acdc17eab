"""AsyncKaizen: ``Kaizen`` for event loops. The same engine, rules, spool and sidecar; only the waiting is a loop's.

Made anywhere, used from any loop, one after the other or several at once (``client.streams``). A task that is cancelled while the
sidecar is asked leaves nothing behind: the connection goes, and the sidecar is told that the action did not happen.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Self, TypeVar

from kaizen_security.client.client import EXIT_SECONDS, Kaizen
from kaizen_security.contract.action import Action
from kaizen_security.contract.verdict import Mode, Verdict

if TYPE_CHECKING:
    import os

    from kaizen_security.client.rules import Rules
    from kaizen_security.client.run import Run
    from kaizen_security.contract.step import Step

    F = TypeVar("F", bound=Callable[..., object])


class AsyncKaizen:
    """Attach one agent that runs in an event loop. Arguments are those of ``Kaizen``, and so is what is raised.

    The constructor does not wait for the organisation's policy: the first verdict does, in a thread, for up to 3 seconds.
    ``sync`` is the engine: a ``Kaizen`` with the same rules, reports and counts, for the parts of an agent that have no loop.
    """

    def __init__(
        self,
        api_key: str = "",
        base_url: str | None = None,
        policies: Iterable[object] | None = None,
        agent: str = "default",
        fail_open: bool | None = None,
        report: bool | None = None,
        sync: bool | None = None,
        on_verdict: Callable[[Verdict, Action], object] | None = None,
        *,
        sidecar: str | None = None,
        mode: str | Mode | None = None,
        in_tenant: bool | None = None,
        deadline: float | None = None,
        hold_seconds: float | None = None,
        data: str | os.PathLike[str] | None = None,
        spool_bytes: int | None = None,
        audit: bool | None = None,
    ) -> None:
        self.sync: Kaizen = _Engine(
            api_key,
            base_url,
            policies,
            agent,
            fail_open,
            report,
            sync,
            on_verdict,
            sidecar=sidecar,
            mode=mode,
            in_tenant=in_tenant,
            deadline=deadline,
            hold_seconds=hold_seconds,
            data=data,
            spool_bytes=spool_bytes,
            audit=audit,
        )

    @classmethod
    def over(cls, kaizen: Kaizen) -> Self:
        """The event loops' side of a client that is there already."""
        made = cls.__new__(cls)
        made.sync = kaizen
        return made

    # --- verdicts

    async def inspect(self, action: Action | Mapping[str, object] | None = None, /, **fields: object) -> Verdict:
        """The verdict on an action, before it runs. Fields as for ``Kaizen.inspect``."""
        return await self.sync.ainspect(action, **fields)

    async def enforce(self, action: Action | Mapping[str, object] | None = None, /, **fields: object) -> Verdict:
        """``inspect``, and raise KaizenBlocked when the action is not allowed."""
        return await self.sync.aenforce(action, **fields)

    # --- attaching

    def guard(
        self,
        fn: F | None = None,
        *,
        tool: str | None = None,
        kind: str = "tool_call",
        target: str | None = None,
        sensitive: bool = False,
    ) -> F | Callable[[F], F]:
        """``Kaizen.guard``. Coroutines and async generators are judged without holding up the loop; a plain function cannot wait,
        so calling it holds up whoever calls it until the verdict is there.
        """
        return self.sync.guard(fn, tool=tool, kind=kind, target=target, sensitive=sensitive)

    async def declare(
        self,
        tools: Iterable[str] | None = None,
        destinations: Iterable[str] | None = None,
        purpose: str | None = None,
        data: Iterable[str] | None = None,
    ) -> bool:
        """``Kaizen.declare``; it is sent from a thread."""
        return await asyncio.to_thread(self.sync.declare, tools, destinations, purpose, data)

    def run(self, request: str | None = None, *, run_id: str | None = None) -> Run:
        """One execution of the agent, also for ``async with``: tasks that are begun inside belong to it."""
        return self.sync.run(request, run_id=run_id)

    def note(self, step: Step) -> None:
        """``Kaizen.note``. It waits for nothing."""
        self.sync.note(step)

    def note_result(self, action: Action, content: object, *, failed: bool = False) -> None:
        """``Kaizen.note_result``. It waits for nothing."""
        self.sync.note_result(action, content, failed=failed)

    # --- what is in force

    @property
    def rules(self) -> Rules:
        """What is in force just now."""
        return self.sync.rules

    @property
    def current_run(self) -> str:
        """The ``run_id`` of the current context; empty outside of a run."""
        return self.sync.current_run

    @property
    def problem(self) -> str:
        """Why policy is not renewed or reports are not delivered just now; empty when all is well."""
        return self.sync.problem

    @property
    def lost(self) -> dict[str, int]:
        """What was lost in this process, by reason."""
        return self.sync.lost

    # --- life

    async def flush(self, timeout: float = 5.0) -> bool:  # as in Kaizen: what is left over stays in the spool
        """``Kaizen.flush``, in a thread."""
        return await asyncio.to_thread(self.sync.flush, timeout)

    async def close(self, timeout: float = EXIT_SECONDS) -> None:
        """``Kaizen.close``, in a thread. A process that ends does this by itself."""
        await asyncio.to_thread(self.sync.close, timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class _Engine(Kaizen):
    """A ``Kaizen`` whose first look for policy is not its constructor's, which may be called on a loop, but the first verdict's."""

    _looked = False

    def _first_look(self) -> None:
        self._looking = threading.Lock()

    def _look(self) -> None:
        with self._looking:
            if not self._looked:
                super()._first_look()
                self._looked = True

    def inspect(self, action: Action | Mapping[str, object] | None = None, /, **fields: object) -> Verdict:
        if not self._looked:
            self._look()
        return super().inspect(action, **fields)

    async def ainspect(self, action: Action | Mapping[str, object] | None = None, /, **fields: object) -> Verdict:
        if not self._looked:
            await asyncio.to_thread(self._look)
        return await super().ainspect(action, **fields)

    def _after_fork(self) -> None:
        self._looking = threading.Lock()
        super()._after_fork()
