"""Files that are there whole or not at all, whoever reads them meanwhile and whenever we are killed."""

import os
import re
import sys
import threading
from contextlib import suppress

from kaizen_security.client.clock import now

Name = str | os.PathLike[str]

LEFT = 3600.0
"""Seconds after which what stands beside a file is a writer's that was killed: nobody writes for so long. Its process may be one of
another container's, so whether that is alive says nothing.
"""
SWEPT = 64
"""Files of a process around which it looks for such leavings, each before the first time that it writes it."""
_swept: set[str] = set()


def write_whole(path: Name, data: bytes, *, mode: int = 0o600, like: str = "") -> None:
    """Write so that a crash leaves the old file or the new one, never half of it. ``like``: whose owner it gets.

    Raises OSError; then what was there stands.
    """
    made = _written(path, data)
    try:
        if like and sys.platform != "win32":
            owner = os.stat(like)
            if (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
                os.chown(made, owner.st_uid, owner.st_gid)
        if mode != 0o600:
            os.chmod(made, mode)
        os.replace(made, path)
    except OSError:
        _drop(made)
        raise


def write_first(path: Name, data: bytes) -> None:
    """The same with mode 0600, unless there is a file already: of several processes that start at once, one's stays.

    Raises OSError.
    """
    made = _written(path, data)
    try:
        os.link(made, path)
    except FileExistsError:
        return
    except (OSError, AttributeError):  # no hard links here, or none on this file system
        if not os.path.exists(path):
            os.rename(made, path)
    finally:
        _drop(made)
    with suppress(OSError):  # Windows opens no folders
        _on_disk(os.path.dirname(os.path.abspath(path)))


def _written(path: Name, data: bytes) -> str:
    folder, name = os.path.split(os.fspath(path))
    _sweep(folder, name)
    made = os.path.join(folder, f".{name}.{os.getpid()}.{threading.get_ident()}")
    fd = _fresh(made)
    try:
        with open(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
    except OSError:
        _drop(made)
        raise
    return made


def _sweep(folder: str, name: str) -> None:
    place = os.path.join(folder, name)
    if place in _swept or len(_swept) >= SWEPT:
        return
    _swept.add(place)
    ours = re.compile(rf"\.{re.escape(name)}\.[0-9]+\.[0-9]+")
    with suppress(OSError), os.scandir(folder or ".") as entries:
        for entry in entries:
            known = ours.fullmatch(entry.name) and entry.is_file(follow_symlinks=False)
            if known and entry.stat(follow_symlinks=False).st_mtime < now() - LEFT:
                _drop(entry.path)


def _fresh(path: str) -> int:
    # What is there already, a link to somebody's file say, is taken away and not written.
    _drop(path)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def _drop(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def _on_disk(folder: str) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
