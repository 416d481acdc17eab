"""The longest that one call holds up its caller, and whose fault that is.

On a shared machine a thread that could run waits for a core, and longer than any budget. Linux counts that wait for each thread
(``/proc/PID/task/TID/schedstat``, second field, nanoseconds), so it is taken off: what is left was ours, a lock, the interpreter's
lock held by our own thread, a collection of garbage. The wait of all our threads is taken, since a thread that waits for a core may
hold the interpreter's lock meanwhile. Where the system counts no such thing, nothing is taken off.

What lies between two processes is looked at from outside (``Machine``): after each call it says whether the machine took anything
from either meanwhile, a core or, where it is a virtual one, all of them. It is asked after a call and not before, since a reader of
files just before it would find for it the processor awake.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

CALM = 200_000
"""Nanoseconds that all threads may have waited for a core, in sum, in a time that was calm: to be woken is to wait for a few."""


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


class Machine:
    """What the machine takes from processes while others work on it."""

    def __init__(self, *processes: int) -> None:
        self._processes = processes
        self._waited, self._stolen = self._read()

    def was_calm(self) -> bool:
        """Whether, since it was asked last, nothing was taken: neither a core (``CALM``) nor the machine from its own host.

        A tick of the latter is 10 ms. True where the system counts no such thing.
        """
        waited, stolen = self._read()
        calm = waited - self._waited <= CALM and stolen == self._stolen
        self._waited, self._stolen = waited, stolen
        return calm

    def _read(self) -> tuple[int, int]:
        waited = stolen = 0
        with suppress(OSError):
            for process in self._processes:
                for task in Path(f"/proc/{process}/task").iterdir():
                    waited += int((task / "schedstat").read_text().split()[1])
            stolen = int(Path("/proc/stat").read_text().split(maxsplit=9)[8])
        return waited, stolen
