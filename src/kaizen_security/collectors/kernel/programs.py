"""Programs with a known-bad hash, stopped before they run: fanotify(7) asks us of every execution in the agent's own mounts.

Marked are the mounts of the agent's own mount namespace, so nobody else on the machine ever waits for us; while no hash is listed,
nobody does. A program is hashed once, and again when anything of it changed. When we die the kernel lets every program run.
"""

from __future__ import annotations

import hashlib
import os
import select
import struct
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator

from kaizen_security.collectors.kernel import linux
from kaizen_security.collectors.kernel.files import FileEvent, records

_ADD, _REMOVE, _MOUNT, _EXEC_PERM = 1, 2, 0x10, 0x40000
_ALLOW, _DENY = 1, 2
WITHOUT_PROGRAMS = frozenset(
    "proc sysfs cgroup cgroup2 devpts mqueue bpf tracefs debugfs securityfs pstore configfs".split()
)
MOST_HASHES = 4096
LARGEST = 256 << 20
"""Bytes of the largest program that is hashed before it runs; of a larger one nothing is known, and that is counted."""
PATIENCE = 30.0


class ProgramWatch:
    """Of the processes in the mount namespace of ``pid``, which must not be our own. ``report`` gets each refusal, in our thread.

    ``deny`` says which hashes; until then nothing is asked. Raises OSError where fanotify is not to be had.
    """

    def __init__(self, pid: int, report: Callable[[FileEvent], None]) -> None:
        self._report = report
        self._denied: frozenset[str] = frozenset()
        self._known: OrderedDict[tuple[int, ...], str] = OrderedDict()
        self.counts: Counter[str] = Counter()
        """refused; ``too large``, ``unreadable``: let run although nothing is known of them."""
        self._root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY)
        with open(f"/proc/{pid}/mountinfo") as file:
            self._mounts = list(mounts(file.read()))
        self._group = linux.fanotify_init(permission=True)
        self._end, self._stop = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._work, name="programs", daemon=True)
        self._thread.start()

    def deny(self, hashes: frozenset[str]) -> int:
        """In force when this returns: SHA-256 in lower-case hex. How many mounts could not be marked."""
        before, self._denied = self._denied, hashes
        if bool(before) == bool(hashes):
            return 0
        failed = 0
        for place in self._mounts:
            path = f"/proc/self/fd/{self._root}/{place.lstrip('/')}"
            try:
                linux.fanotify_mark(self._group, (_ADD if hashes else _REMOVE) | _MOUNT, _EXEC_PERM, path)
            except OSError:
                failed += 1  # a mount below one that hides it, or one that has no files
        return failed

    # --- the thread ---------------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        poll = select.poll()
        for fd in (self._group, self._end):
            poll.register(fd, select.POLLIN)
        try:
            while self._end not in {fd for fd, _ in poll.poll()}:
                self._look()
        finally:
            # Whoever waits is let through, should this thread ever end before its time.
            for fd in (self._group, self._root, self._end):
                os.close(fd)

    def _look(self) -> None:
        try:
            data = os.read(self._group, 1 << 16)
        except BlockingIOError:
            return
        except OSError:
            self.counts["unreadable"] += 1  # no descriptor for it (EMFILE): the kernel itself said no
            return
        for _, fd, pid, _ in records(data):
            if fd < 0:
                continue
            try:
                self._one(fd, pid)
            finally:
                os.close(fd)

    def _one(self, fd: int, pid: int) -> None:
        digest = ""
        try:
            digest = self._digest(fd)
        except OSError:
            self.counts["unreadable"] += 1
        refuse = digest in self._denied
        os.write(self._group, struct.pack("=iI", fd, _DENY if refuse else _ALLOW))
        if refuse:
            self.counts["refused"] += 1
            path = os.readlink(f"/proc/self/fd/{fd}")
            self._report(FileEvent(pid=pid, method="execute", path=path, refused=True, hash=digest))

    def _digest(self, fd: int) -> str:
        about = os.fstat(fd)
        if about.st_size > LARGEST:
            self.counts["too large"] += 1
            return ""
        # The time of the last change of the inode cannot be set by anybody, unlike the one of its contents.
        key = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
        if key not in self._known:
            with open(fd, "rb", closefd=False) as program:
                self._known[key] = hashlib.file_digest(program, "sha256").hexdigest()
            if len(self._known) > MOST_HASHES:
                self._known.popitem(last=False)
        return self._known[key]

    def close(self) -> None:
        """Ask no more; whoever waits is let through."""
        os.close(self._stop)  # the thread hears the hang-up
        self._thread.join(PATIENCE)


def mounts(mountinfo: str) -> Iterator[str]:
    """Mount points of /proc/pid/mountinfo (proc(5)) that may hold programs."""
    return (one.place for one in linux.mounts(mountinfo) if one.kind not in WITHOUT_PROGRAMS)
