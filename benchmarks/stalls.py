"""The longest that one call holds up its caller, and whose fault that is.

On a shared machine a thread that could run waits for a core, and longer than any budget. Linux counts that wait for each thread
(``/proc/PID/task/TID/schedstat``, second field, nanoseconds), so it is taken off: what is left was ours, a lock, the interpreter's
lock held by our own thread, a collection of garbage. The wait of all our threads is taken, since a thread that waits for a core may
hold the interpreter's lock meanwhile. Where the system counts no such thing, nothing is taken off.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable


class Stalls:
    """Measures calls one by one. ``close`` it."""

    def __init__(self) -> None:
        self._counters: dict[int, int] = {}
        self._collecting = 0
        self.collected = 0
        gc.callbacks.append(self._on_collection)

    def close(self) -> None:
        """Let go of what it opened."""
        gc.callbacks.remove(self._on_collection)
        for counter in self._counters.values():
            os.close(counter)

    def longest(self, call: Callable[[int], object], calls: int) -> dict[str, float]:
        """Milliseconds of the longest call, as the clock says and without the wait for a core; of garbage collected in calls."""
        took, waited, collected = [0] * calls, [0] * calls, 0
        clock = time.perf_counter_ns
        for i in range(calls):
            before, garbage = self._waited(), self.collected
            began = clock()
            call(i)
            took[i] = clock() - began
            collected += self.collected - garbage
            waited[i] = self._waited() - before
        ours = max(wall - min(wall, wait) for wall, wait in zip(took, waited, strict=True))
        return {
            "longest_ms": max(took) / 1e6,
            "longest_of_ours_ms": ours / 1e6,
            "garbage_collected_ms": collected / 1e6,
        }

    def _waited(self) -> int:
        found = 0
        for thread in threading.enumerate():
            number = thread.native_id
            if number is None:
                continue
            try:
                if number not in self._counters:
                    self._counters[number] = os.open(f"/proc/self/task/{number}/schedstat", os.O_RDONLY)
                found += int(os.pread(self._counters[number], 64, 0).split()[1])
            except OSError:
                continue
        return found

    def _on_collection(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._collecting = time.perf_counter_ns()
        else:
            self.collected += time.perf_counter_ns() - self._collecting
