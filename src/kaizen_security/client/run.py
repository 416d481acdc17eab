"""Run: one execution of the agent, around its actions."""

from __future__ import annotations

from contextvars import Token
from typing import TYPE_CHECKING

from kaizen_security.client.clock import now
from kaizen_security.client.noting import RUN
from kaizen_security.contract.step import End, Request

if TYPE_CHECKING:
    from kaizen_security.client.client import Kaizen


class Run:
    """A context manager, also for ``async with``. ``id`` is the ``run_id`` of every verdict inside, also of tasks begun there.

    The run is noted as not completed when the block is left by an exception.
    """

    def __init__(self, kaizen: Kaizen, request: str, run_id: str) -> None:
        self.id = run_id
        self._kaizen = kaizen
        self._request = request
        self._token: Token[str] | None = None

    def __enter__(self) -> Run:
        self._token = RUN.set(self.id)
        agent = self._kaizen.settings.agent
        if self._request:
            self._kaizen.note(Request(run_id=self.id, text=str(self._request), agent=agent, at=now()))
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._token is not None:
            RUN.reset(self._token)
            self._token = None
        agent = self._kaizen.settings.agent
        self._kaizen.note(End(run_id=self.id, completed=kind is None, agent=agent, at=now()))

    async def __aenter__(self) -> Run:
        return self.__enter__()

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.__exit__(kind)
