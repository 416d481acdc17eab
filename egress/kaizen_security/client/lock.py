"""Locks on files, which the kernel lets go of however their process ends."""

from __future__ import annotations

import sys
from time import monotonic, sleep

REMOVES_OPEN = sys.platform != "win32"
"""Whether a file that is open can be removed."""

if sys.platform == "win32":
    import msvcrt

    def locked(fd: int) -> bool:
        """Take the lock, at once or not at all; false when another process has it."""
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def locked(fd: int) -> bool:
        """Take the lock, at once or not at all; false when another process has it."""
        # flock, not lockf: a POSIX record lock would be lost when any other descriptor of the file is closed.
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True


def locked_within(fd: int, seconds: float) -> bool:
    """Take the lock, waiting for up to that long; false when another process has it for all of it."""
    until = monotonic() + seconds
    while not locked(fd):
        if monotonic() >= until:
            return False
        sleep(0.005)
    return True
