"""Calls that the seccomp filter refuses, told to the supervisor before they are refused (seccomp_unotify(2)).

Only refused calls come here, so nothing that is permitted waits. The answer is always the refusal: what the call's arguments point
to is never looked at, so nothing could change between look and use. Without a supervisor the kernel refuses by itself.

An agent can make refused calls without end, so they are told as the kernel rung's deeds are: each once a second, and counted else.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import struct
import threading
from collections import Counter
from collections.abc import Callable
from time import monotonic

_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_NOTICE = struct.Struct("=QIIiIQ6Q")  # id, pid, flags, call's number, architecture, instruction, arguments
_ANSWER = struct.Struct("=QqiI")

Refused = Callable[[int, int, tuple[int, ...]], None]
"""``refused(pid, call's number, arguments)``."""


WINDOW = 1.0
MOST_A_WINDOW = 64
"""Different refused calls that are told in one second."""


class Notices:
    """Reads ``fd`` in a thread of its own until the last process of the filter has ended."""

    def __init__(self, fd: int, refused: Refused) -> None:
        self._fd = fd
        self._refused = refused
        self.counts: Counter[str] = Counter()
        """``calls refused``, and how many of them were not told, by reason."""
        self._began = 0.0
        self._told: set[tuple[int, ...]] = set()
        self._thread = threading.Thread(target=self._work, name="refused-calls", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        ready = select.poll()
        ready.register(self._fd, select.POLLIN)
        while any(event & select.POLLIN for _, event in ready.poll()):
            notice = bytearray(_NOTICE.size)
            try:
                fcntl.ioctl(self._fd, _RECEIVE, notice)
                id_, pid, _, number, _, _, *arguments = _NOTICE.unpack(notice)
                if self.new(number, arguments[0], arguments[1], at=monotonic()):
                    self._refused(pid, number, tuple(arguments))
                fcntl.ioctl(self._fd, _SEND, bytearray(_ANSWER.pack(id_, 0, -errno.EACCES, 0)))
            except OSError:
                continue  # that process was killed while its call waited
        os.close(self._fd)

    def new(self, *call: int, at: float) -> bool:
        """Whether to tell a refused call (its number and what makes it another one). ``at`` in seconds of any clock."""
        self.counts["calls refused"] += 1
        if at - self._began >= WINDOW:
            self._began = at
            self._told.clear()
        if call in self._told:
            self.counts["calls refused: repeated within a second"] += 1
        elif len(self._told) >= MOST_A_WINDOW:
            self.counts["lost: flood of refused calls"] += 1
        else:
            self._told.add(call)
            return True
        return False

    def join(self) -> None:
        """Wait for the thread, once every process of the filter has ended."""
        self._thread.join(5.0)
