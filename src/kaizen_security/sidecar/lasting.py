"""Work that lasts as long as the sidecar: tasks and threads that nothing may end but the sidecar's own end.

One that ends before that, by a mistake of ours or by whatever the machine does to it, is started again, after a pause that grows
while it keeps ending. The first end is written to the log with its reason, each is counted, and ``/healthz`` shows the counts.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from time import monotonic

from kaizen_security.client.delivery import Backoff

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 30.0
WELL = 60.0
"""Seconds that work must have gone on for its next end to be the first again."""


class Lasting:
    """``restarted``: how often each kind of work was started again, by its name."""

    def __init__(self) -> None:
        self.restarted: Counter[str] = Counter()
        self._over = threading.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def task(self, name: str, work: Callable[[], Coroutine[object, object, None]]) -> None:
        """Keep ``work`` going in the running event loop, until ``end``."""
        self._tasks.append(asyncio.create_task(self._keep(name, work), name=f"{name}, kept"))

    def thread(self, name: str, work: Callable[[], None]) -> threading.Thread:
        """Keep ``work`` going in a thread, until it ends after ``end`` was called."""
        made = threading.Thread(target=self._stay, args=(name, work), name=name, daemon=True)
        made.start()
        return made

    def ending(self) -> None:
        """Threads that end from now on have ended well."""
        self._over.set()

    def end(self) -> None:
        """End the tasks; threads are told by whoever started them."""
        self.ending()
        for task in self._tasks:
            task.cancel()

    async def _keep(self, name: str, work: Callable[[], Coroutine[object, object, None]]) -> None:
        pauses = _Pauses()
        while True:
            # A task of its own: what cancels that from within does not end this.
            inner = asyncio.create_task(work(), name=name)
            try:
                await asyncio.wait([inner])
            finally:
                inner.cancel()
            why = "it was cancelled" if inner.cancelled() else inner.exception()
            await asyncio.sleep(self._ended(name, why, pauses))

    def _stay(self, name: str, work: Callable[[], None]) -> None:
        pauses = _Pauses()
        while True:
            why: BaseException | str | None = None
            try:
                work()
            except Exception as err:  # noqa: BLE001 - a listed boundary
                why = err
            if self._over.is_set() or self._over.wait(self._ended(name, why, pauses)):
                return

    def _ended(self, name: str, why: BaseException | str | None, pauses: _Pauses) -> float:
        pause = pauses.next()
        self.restarted[name] += 1
        if pause == FIRST_PAUSE:
            cause = why if isinstance(why, BaseException) else None
            said = type(cause).__name__ if cause else why or "it returned"
            log.error("%s has ended (%s) and is started again", name, said, exc_info=cause)
        return pause


class _Pauses:
    """How long to wait before each new start."""

    def __init__(self) -> None:
        self._backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        self._began = monotonic()

    def next(self) -> float:
        """Seconds; FIRST_PAUSE when the work has gone on for long enough."""
        now = monotonic()
        if now - self._began > WELL:
            self._backoff.reset()
        pause = self._backoff.next()
        self._began = now + pause
        return pause
