"""Sole: a lock for threads and for event loops. Who waits for it on a loop is woken when it is free, and looks again only then."""

from __future__ import annotations

import asyncio
import threading
from collections import deque


class Sole:
    """Held by one at a time. Not in the order in which they came: whoever asks in the moment in which it is free may be faster."""

    __slots__ = ("_lock", "_waiting")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = deque()

    def acquire(self, within: float = 0.0) -> bool:
        """Whether it was free within that many seconds, and is held now. Blocks the thread."""
        return self._lock.acquire(timeout=within) if within > 0 else self._lock.acquire(blocking=False)

    async def wait(self, within: float) -> bool:
        """The same, while the event loop goes on."""
        loop = asyncio.get_running_loop()
        until = loop.time() + within
        while not self.acquire():
            mine = loop, loop.create_future()
            self._waiting.append(mine)
            if self.acquire():  # it became free before anybody could know that we wait
                self._leave(mine)
                return True
            timer = loop.call_at(until, _wake, mine[1])
            try:
                await mine[1]
            finally:
                timer.cancel()
                self._leave(mine)
            if loop.time() >= until:
                return self.acquire()
        return True

    def release(self) -> None:
        """Let it be free."""
        self._lock.release()
        self._call_next()

    def _leave(self, mine: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]) -> None:
        try:
            self._waiting.remove(mine)
        except ValueError:
            # We were called. Should we not come, because we were cancelled or our time was over, the next one has to be.
            if not self._lock.locked():
                self._call_next()

    def _call_next(self) -> None:
        while self._waiting:
            try:
                loop, heard = self._waiting.popleft()
                loop.call_soon_threadsafe(_wake, heard)
            except IndexError:
                return  # another thread was quicker
            except RuntimeError:
                continue  # a loop that is closed: nobody waits there any more
            return


def _wake(heard: asyncio.Future[None]) -> None:
    if not heard.done():
        heard.set_result(None)
