"""Later: steps on their way to the sidecar while nobody waits for a verdict.

A question sends what waits before it (``client.link``). An agent that only reports asks none, and one that asks waits for less
where nothing waits before its question. So a thread takes steps over, as they were noted, soon after the first one.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from kaizen_security.client import own

if TYPE_CHECKING:
    from kaizen_security.client.link import Link

WINDOW = 0.02
"""Seconds in which further steps may join the first."""
DEADLINE = 2.0
"""Seconds for one attempt."""
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 5.0


class Later:
    """One thread for one ``Link``, started by the first ``wake``; a fork leaves it behind."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._reset()

    def _reset(self) -> None:
        self._wake = threading.Event()
        self.is_awake = self._wake.is_set
        self._stop = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """There is something to take over; needless while ``is_awake()``. Microseconds."""
        self._wake.set()
        if self._thread is None and not self._stop.is_set():
            self._start()

    def _start(self) -> None:
        with self._starting:
            if self._thread is not None:
                return
            self._thread = own.thread(self._work, "kaizen-steps")
            if not own.start(self._thread):
                self._thread = None  # ``close`` sends, unless the next step can start one
                self._wake.clear()

    def _work(self) -> None:
        pause = FIRST_PAUSE
        while not self._stop.is_set():
            self._wake.wait()
            self._wake.clear()
            self._stop.wait(WINDOW)
            while not self._stop.is_set() and self._link.waiting and not self._link.hand_over(DEADLINE):
                self._stop.wait(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            pause = FIRST_PAUSE

    def stop(self) -> None:
        """Take over no more; what waits is for ``Link.send_steps``."""
        self._stop.set()
        self._wake.set()

    def after_fork(self) -> None:
        """In the child: the thread, and whoever held the lock, are gone."""
        stopped = self._stop.is_set()
        self._reset()
        if stopped:
            self._stop.set()
