"""Telling long polls that something of their organisation has changed."""

from __future__ import annotations

import asyncio


class Changes:
    """One count an organisation, and who waits for it to move. For the event loop's thread only; bounded by the organisations."""

    def __init__(self) -> None:
        self._turns: dict[int, int] = {}
        self._waiting: dict[int, set[asyncio.Future[None]]] = {}
        self.closed = False

    def turn(self, organisation: int) -> int:
        """To be read before looking, and given to ``wait``: a change in between is then not missed."""
        return self._turns.get(organisation, 0)

    def happened(self, organisation: int) -> None:
        """Wake who waits."""
        self._turns[organisation] = self.turn(organisation) + 1
        for waiter in self._waiting.pop(organisation, set()):
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self, organisation: int, turn: int, seconds: float) -> None:
        """Return when something has changed since ``turn``, or after that many seconds."""
        if self.closed or self.turn(organisation) != turn:
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(organisation, set()).add(waiter)
        try:
            await asyncio.wait((waiter,), timeout=seconds)
        finally:
            self._waiting.get(organisation, set()).discard(waiter)

    def close(self) -> None:
        """Wake everybody, and let nobody wait any more: the server is stopping."""
        self.closed = True
        for organisation in list(self._waiting):
            self.happened(organisation)
