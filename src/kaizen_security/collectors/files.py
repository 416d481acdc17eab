"""Which files below some folders are opened, by whomever: inotify(7). For a box that one agent has for itself.

It needs no privilege and tells no process apart, so whoever else opens files there is heard too. Folders that are made while it
watches are watched from then on; what is opened in one in the instant before that is not heard. Every loss is counted.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from kaizen_security.contract.errors import Misconfigured

MOST_FOLDERS = 16_384
"""Folders that are watched; the system's own bound may be lower (``fs.inotify.max_user_watches``)."""
_OPEN, _MODIFY, _CREATE, _MOVED_TO, _DELETE, _MOVED_FROM = 0x20, 0x2, 0x100, 0x80, 0x200, 0x40
_OVERFLOW, _IGNORED, _IS_FOLDER, _ONLY_FOLDERS, _NO_LINKS = 0x4000, 0x8000, 0x40000000, 0x01000000, 0x02000000
_MASK = _OPEN | _MODIFY | _CREATE | _MOVED_TO | _DELETE | _MOVED_FROM | _ONLY_FOLDERS | _NO_LINKS
_HEAD = struct.Struct("=iIII")
_CHANGES = _MODIFY | _CREATE | _MOVED_TO | _DELETE | _MOVED_FROM


class Files:
    """Watches ``roots``. ``descriptor`` is readable when something happened. Raises Misconfigured."""

    def __init__(self, roots: tuple[str, ...]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.descriptor = int(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        if self.descriptor < 0:
            raise Misconfigured(f"files cannot be watched here: {os.strerror(ctypes.get_errno())}")
        self._folders: dict[int, str] = {}
        self.losses: Counter[str] = Counter()
        for root in roots:
            if not Path(root).is_absolute() or not Path(root).is_dir():
                self.close()
                raise Misconfigured(f"{root}: only a folder with an absolute path can be watched")
            self._tree(root)

    def close(self) -> None:
        """Watch no more."""
        os.close(self.descriptor)

    def _tree(self, root: str) -> None:
        self._watch(root)
        for folder, names, _ in os.walk(root, followlinks=False):
            for name in names:
                self._watch(os.path.join(folder, name))

    def _watch(self, folder: str) -> None:
        if len(self._folders) >= MOST_FOLDERS:
            self.losses["folders beyond the bound"] += 1
            return
        number = int(self._libc.inotify_add_watch(self.descriptor, os.fsencode(folder), _MASK))
        if number >= 0:
            self._folders[number] = folder
        elif ctypes.get_errno() not in (errno.ENOENT, errno.ENOTDIR):
            self.losses[f"folders not watched: {os.strerror(ctypes.get_errno())}"] += 1

    def touched(self) -> Iterator[tuple[str, bool]]:
        """Paths of files that were opened or changed since the last time, each with whether it was changed."""
        while True:
            try:
                data = os.read(self.descriptor, 1 << 16)
            except BlockingIOError:
                return
            at = 0
            while at < len(data):
                number, mask, _, length = _HEAD.unpack_from(data, at)
                name = os.fsdecode(data[at + _HEAD.size : at + _HEAD.size + length].rstrip(b"\0"))
                at += _HEAD.size + length
                yield from self._event(number, mask, name)

    def _event(self, number: int, mask: int, name: str) -> Iterator[tuple[str, bool]]:
        if mask & _OVERFLOW:
            self.losses["the system's queue was full"] += 1
        elif mask & _IGNORED:
            self._folders.pop(number, None)
        elif number in self._folders and name:
            path = os.path.join(self._folders[number], name)
            if not mask & _IS_FOLDER:
                yield path, bool(mask & _CHANGES)
            elif mask & (_CREATE | _MOVED_TO):
                self._tree(path)
