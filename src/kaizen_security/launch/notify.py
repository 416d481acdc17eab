"""Calls that the seccomp filter refuses, reported to the supervisor before they are refused (seccomp_unotify(2)).

Only refused calls come here, so nothing that is permitted waits. The answer is the refusal: what the call's arguments point to is
never looked at, so nothing could change between look and use. Without a supervisor the kernel refuses by itself. One call goes on:
a process that sets its own limits and says its own number, which stands in the call itself; a filter does not know that number.

An agent can make refused calls without end, so they are reported as the kernel rung's deeds are: each once a second, else counted.
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

from kaizen_security.collectors.kernel.once import Once

_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_NOTICE = struct.Struct("=QIIiIQ6Q")  # id, pid, flags, call's number, architecture, instruction, arguments
_ANSWER = struct.Struct("=QqiI")  # id, value, error, flags
_CONTINUE = 1

Refused = Callable[[int, int, tuple[int, ...]], None]
"""``refused(pid, call's number, arguments)``."""


MOST_A_WINDOW = 64
"""Different refused calls that are reported in one second."""


class Notices:
    """Reads ``fd`` in a thread of its own until the last process of the filter has ended. ``limits``: prlimit(2)'s number."""

    def __init__(self, fd: int, refused: Refused, *, limits: int = -1) -> None:
        self._fd = fd
        self._refused = refused
        self._limits = limits
        self._calls = 0
        self._once = Once(
            MOST_A_WINDOW, repeated="calls refused: repeated within a second", lost="lost: flood of refused calls"
        )
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
                if number == self._limits and arguments[0] & 0xFFFFFFFF in (pid, _process_of(pid)):
                    fcntl.ioctl(self._fd, _SEND, bytearray(_ANSWER.pack(id_, 0, 0, _CONTINUE)))
                    continue
                if self.new(number, arguments[0], arguments[1], at=monotonic()):
                    self._refused(pid, number, tuple(arguments))
                fcntl.ioctl(self._fd, _SEND, bytearray(_ANSWER.pack(id_, 0, -errno.EACCES, 0)))
            except OSError:
                continue  # that process was killed while its call waited
        os.close(self._fd)

    @property
    def counts(self) -> Counter[str]:
        """``calls refused``, and how many of them were not reported, by reason."""
        return Counter({"calls refused": self._calls}) + self._once.counts

    def new(self, *call: int, at: float) -> bool:
        """Whether to report a refused call (its number and what makes it another one). ``at`` in seconds of any clock."""
        self._calls += 1
        return self._once.new("call", call, at)

    def join(self) -> None:
        """Wait for the thread, once every process of the filter has ended."""
        self._thread.join(5.0)


def _process_of(thread: int) -> int:
    """The number of the process that a thread is one of; 0 when it is gone."""
    try:
        with open(f"/proc/{thread}/status", "rb") as file:
            return next((int(line[5:]) for line in file if line.startswith(b"Tgid:")), 0)
    except OSError:
        return 0
