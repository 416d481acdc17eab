"""Watched files by fanotify(7): opens, executions, writes, removals and renames by an agent's processes, and refusals of them.

Marks are on inodes: a hard link, a bind mount, a renamed directory and /proc/self/fd lead to the same inode, and io_uring asks as
open(2) does. What is refused and what is only watched are marked in groups of their own, so whatever the one asks of is refused: a
path would not tell, for it changes, and another's mounts have other paths. Others than the agent are let through at once. When this
process dies the kernel lets everybody through, which no setting changes.
"""

from __future__ import annotations

import os
import select
import stat
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from kaizen_security.collectors.kernel import linux
from kaizen_security.contract.errors import Misconfigured

_ADD, _DONT_FOLLOW = 1, 4
_OPEN_PERM, _EXEC_PERM, _ON_CHILD, _ON_DIR = 0x10000, 0x40000, 0x08000000, 0x40000000
_CLOSE_WRITE, _OVERFLOW = 0x8, 0x4000
_MOVED_FROM, _MOVED_TO, _DELETE, _DELETE_SELF, _MOVE_SELF = 0x40, 0x80, 0x200, 0x400, 0x800
_ALLOW, _DENY = 1, 2
_GONE = FileNotFoundError, NotADirectoryError
_HEAD = struct.Struct("=IBBHQii")
_INFO = struct.Struct("=BBH8sIi")
PATIENCE = 30.0
"""Seconds that ``close`` waits for what is left to be reported."""
LAST = 64
"""Looks at what is left, when closing: others may go on opening watched files."""
MOST_MARKED = 1 << 15
"""Directories and files below one watched or refused path that are marked; more are a mistake in the settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEvent:
    """``method`` is open, execute, write, delete or rename; ``path`` as the kernel names it now; ``refused``: it did not happen;
    ``hash``: the SHA-256 for which a program was refused.
    """

    pid: int
    method: str
    path: str
    refused: bool = False
    hash: str = ""


class FileWatch:
    """Watches ``watched`` and ``refused`` paths (files, or directories with all below them).

    ``agent`` says whether a process is the agent's, or (its second argument) was until it ended; ``report`` gets each event, from
    the watch's own thread, and must open no file, or it would wait for itself. ``enforce``: opening or executing a ``refused`` path
    gets EPERM.
    Raises Misconfigured for a path that is not there, OSError where fanotify is not to be had.
    """

    def __init__(
        self,
        watched: Iterable[str],
        refused: Iterable[str],
        *,
        agent: Callable[[int, bool], bool],
        report: Callable[[FileEvent], None],
        enforce: bool,
    ) -> None:
        self._agent = agent
        self._report = report
        self._enforce = enforce
        self.counts: Counter[str] = Counter()
        """seen, refused; ``overflow``: the kernel's queue was full, so removals or writes were lost (opens never are, they wait);
        ``unreadable``: opens that the kernel refused since we had no descriptor left; ``undecided``: we could not tell whose it is.
        """
        self.shut = frozenset(_identified(_all(refused)).values())
        """Device and inode of what is refused, or stands above all that is, as it was when the watch began."""
        # A file that is carried out of a refused directory is refused by its own mark.
        shut = _identified(_all(refused, every=True))
        self._refused = frozenset(shut.values())
        self._asked = self._refusing = self._changes = -1
        try:
            self._asked, self._refusing = (linux.fanotify_init(permission=True) for _ in range(2))
            self._changes = linux.fanotify_names()
            for path in shut:
                self._mark(self._refusing, path)
            for path, identity in _identified(_all(watched)).items():
                if identity not in self._refused:
                    self._mark(self._asked, path)
        except OSError:
            self._close()
            raise
        self._end, self._stop = os.pipe2(os.O_CLOEXEC)
        self._thread = threading.Thread(target=self._work, name="files", daemon=True)
        self._thread.start()

    def _mark(self, group: int, path: str) -> None:
        directory = os.path.isdir(path)
        child = _ON_CHILD if directory else 0
        changes = _MOVED_FROM | _MOVED_TO | _DELETE | _ON_CHILD if directory else 0
        with suppress(*_GONE):  # what is no more needs no mark; what a link has taken the place of leads elsewhere
            linux.fanotify_mark(group, _ADD | _DONT_FOLLOW, _OPEN_PERM | _EXEC_PERM | _CLOSE_WRITE | child, path)
            linux.fanotify_mark(self._changes, _ADD | _DONT_FOLLOW, _DELETE_SELF | _MOVE_SELF | _ON_DIR | changes, path)

    # --- the thread ---------------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        poll = select.poll()
        for fd in (self._asked, self._refusing, self._changes, self._end):
            poll.register(fd, select.POLLIN)
        try:
            while self._end not in {fd for fd, _ in poll.poll()}:
                self._look()
            for _ in range(LAST):  # what was done before the end is told before it
                if not self._look():
                    break
        finally:
            # Whoever waits for an answer is let through, should this thread ever end before its time.
            self._close()
            os.close(self._end)

    def _look(self) -> bool:
        """Whether there was anything."""
        return self._answer(self._refusing) | self._answer(self._asked) | self._changed()

    def _answer(self, group: int) -> bool:
        data = self._read(group)
        for mask, fd, pid, _ in records(data):
            if mask & _OVERFLOW:
                self.counts["overflow"] += 1
                continue
            try:
                self._one(group, mask, fd, pid)
            finally:
                os.close(fd)
        return bool(data)

    def _read(self, group: int) -> bytes:
        """What is there now, of one group; nothing when there is nothing."""
        try:
            return os.read(group, 1 << 16)
        except BlockingIOError:
            return b""
        except OSError:
            # No descriptor for that file (EMFILE): its open was refused by the kernel itself, whoever asked.
            self.counts["unreadable"] += 1
            return b""

    def _one(self, group: int, mask: int, fd: int, pid: int) -> None:
        asked = mask & (_OPEN_PERM | _EXEC_PERM) != 0
        ours = False
        try:
            # Who asks is waiting for us; what was done may be told after its process has ended.
            ours = pid != os.getpid() and self._agent(pid, not asked)
        except OSError:
            self.counts["undecided"] += 1
        refuse = asked and ours and self._enforce and group == self._refusing
        if asked:
            os.write(group, struct.pack("=iI", fd, _DENY if refuse else _ALLOW))
        # Of a refused file below a watched directory both groups hear, and one tells.
        if ours and (group == self._refusing or _identity(fd) not in self._refused):
            path = os.readlink(f"/proc/self/fd/{fd}")
            method = "execute" if mask & _EXEC_PERM else "write" if mask & _CLOSE_WRITE else "open"
            self.counts["refused" if refuse else "seen"] += 1
            self._report(FileEvent(pid=pid, method=method, path=path, refused=refuse))

    def _changed(self) -> bool:
        data = self._read(self._changes)
        for mask, _, pid, info in records(data):
            if mask & _OVERFLOW:
                self.counts["overflow"] += 1
            elif self._agent(pid, True):
                method = "delete" if mask & (_DELETE | _DELETE_SELF) else "rename"
                self.counts["seen"] += 1
                self._report(FileEvent(pid=pid, method=method, path=_path(info)))
        return bool(data)

    # --- its life -----------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Report what is left and watch no longer; whoever waits is let through. All was reported when this returns."""
        os.close(self._stop)  # the thread hears the hang-up, if there is one still
        self._thread.join(PATIENCE)

    def _close(self) -> None:
        for fd in (self._asked, self._refusing, self._changes):
            if fd >= 0:
                os.close(fd)


def _all(paths: Iterable[str], *, every: bool = False) -> list[str]:
    """The paths, and every directory below those that are directories (links are not followed); of the files there ``every`` one,
    or those that have other names too: a directory's own mark covers what is in it by that way.
    """
    found: dict[str, None] = {}
    for path in paths:
        if not os.path.exists(path):
            raise Misconfigured(f"{path} is to be watched and is not there")
        found[os.path.realpath(path)] = None
        for folder, folders, names in os.walk(path):
            found.update(dict.fromkeys(os.path.join(folder, name) for name in folders))
            files = (os.path.join(folder, name) for name in names)
            found.update(dict.fromkeys(file for file in files if _is_file(file, every=every)))
            if len(found) > MOST_MARKED:
                raise Misconfigured(f"{path} has more than {MOST_MARKED} directories and files below it")
    return list(found)


def _is_file(path: str, *, every: bool) -> bool:
    try:
        about = os.lstat(path)
    except _GONE:
        return False
    return stat.S_ISREG(about.st_mode) and (every or about.st_nlink > 1)


def _identity(fd: int) -> tuple[int, int]:
    about = os.fstat(fd)
    return about.st_dev, about.st_ino


def _identified(paths: Iterable[str]) -> dict[str, tuple[int, int]]:
    """Device and inode of each that is still there: others go on working while we look."""
    found = {}
    for path in paths:
        with suppress(*_GONE):
            about = os.lstat(path)
            found[path] = about.st_dev, about.st_ino
    return found


def records(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Mask, descriptor, process and further information of each event in what was read."""
    at = 0
    while at + _HEAD.size <= len(data):
        length, _, _, head, mask, fd, pid = _HEAD.unpack_from(data, at)
        if length < head or at + length > len(data):
            return
        yield mask, fd, pid, data[at + head : at + length]
        at += length


def _path(info: bytes) -> str:
    """The name in an event of a group that reports directories and names: what can still be said of a file that is gone."""
    if len(info) < _INFO.size:
        return ""
    _, _, length, _, size, _ = _INFO.unpack_from(info)
    return info[_INFO.size + size : length].partition(b"\0")[0].decode("utf-8", "backslashreplace")
