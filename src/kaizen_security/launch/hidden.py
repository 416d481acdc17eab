"""What an agent's mount namespace does not show (sockets of services outside, by whatever path), and does not let be written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress

from kaizen_security.collectors.kernel import linux


def hide(paths: Sequence[str], resolver: str) -> list[str]:
    """In the mount namespace: nothing at ``paths`` (sockets of services outside), names asked at ``resolver`` (a file to bind over
    resolv.conf). The paths that could not be hidden.
    """
    left = []
    for path in paths:
        try:
            if os.path.isdir(path):
                linux.mount("none", path, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "size=64k,mode=0755")
            else:
                linux.mount("/dev/null", path, "", linux.MS_BIND)
        except OSError:
            left.append(path)
    if resolver:
        with suppress(OSError):
            linux.mount(resolver, os.path.realpath("/etc/resolv.conf"), "", linux.MS_BIND)
    return left


def service_sockets(kept: str) -> tuple[str, ...]:
    """Unix sockets with a path on this machine that somebody listens on, or takes datagrams at, under each path that a mount gives
    them: ways out that no network namespace closes. All but ``kept``, a path or empty.
    """
    try:
        with open("/proc/net/unix", errors="surrogateescape") as table, open("/proc/self/mountinfo") as info:
            paths = dict.fromkeys(listeners(table.read()))
            mounted = list(linux.mounts(info.read()))
    except OSError:
        return ()
    there = [path for path in paths if os.path.exists(path)]
    found = dict.fromkeys(one for path in there for one in (path, *_elsewhere(path, mounted)))
    return tuple(path for path in found if not kept or os.path.realpath(path) != os.path.realpath(kept))


def listeners(table: str) -> Iterator[str]:
    """Paths of /proc/net/unix (proc(5)) at which somebody hears whoever comes: that listen, or take datagrams."""
    for line in table.splitlines()[1:]:
        fields = line.split(maxsplit=7)
        if len(fields) == 8 and fields[7].startswith("/") and (fields[3] == "00010000" or fields[4] == "0002"):
            yield fields[7]


def _elsewhere(path: str, mounted: Sequence[linux.Mount]) -> Iterator[str]:
    """Further paths to the same socket, where its filesystem, or a part of it, is mounted more than once."""
    for place in spellings(os.path.realpath(path), mounted):
        with suppress(OSError):
            if os.path.samestat(os.lstat(place), os.stat(path)):
                yield place


def spellings(path: str, mounted: Sequence[linux.Mount]) -> Iterator[str]:
    """What a path without links may be called by other mounts of the same filesystem."""
    over = (one for one in reversed(mounted) if _below(path, one.place) is not None)
    home = max(over, key=lambda one: len(one.place), default=None)
    if home is None:
        return
    inside = home.root.rstrip("/") + (_below(path, home.place) or "")
    for one in mounted:
        rest = _below(inside, one.root) if one.device == home.device else None
        if rest is not None and one.place.rstrip("/") + rest != path:
            yield one.place.rstrip("/") + rest


def _below(path: str, folder: str) -> str | None:
    """What of ``path`` is below ``folder``, with its slash; None if it is not."""
    folder = folder.rstrip("/")
    return path[len(folder) :] if path == folder or path.startswith(f"{folder}/") else None


SETTINGS = frozenset("sysfs cgroup cgroup2 debugfs tracefs securityfs configfs efivarfs pstore".split())
"""Filesystems that set the kernel or start its helpers (``release_agent``)."""
_OF_PROC = ("sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "scsi")
_FLAGS = {"nosuid": linux.MS_NOSUID, "nodev": linux.MS_NODEV, "noexec": linux.MS_NOEXEC}


def seal() -> list[str]:
    """In the mount namespace: nothing that sets the kernel can be written, which whoever is root could do without any capability.

    A program that is named there (``kernel.core_pattern``) is started by the kernel, and is nobody's. What could not be sealed.
    """
    with open("/proc/self/mountinfo") as info:
        mounted = list(linux.mounts(info.read()))
    left = []
    for one in mounted:
        flags = sum(_FLAGS.get(option, 0) for option in one.options)
        parts = [f"{one.place}/{name}" for name in _OF_PROC] if one.kind == "proc" else []
        places = [one.place] if one.kind in SETTINGS else [part for part in parts if os.path.exists(part)]
        for place in places:
            try:
                if place != one.place:
                    linux.mount(place, place, "", linux.MS_BIND)
                linux.mount("none", place, "", linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY | flags)
            except OSError:
                left.append(place)
    return [place for place in left if _writable(place)]


def _writable(place: str) -> bool:
    """Whether it is there and not read-only: what another mount hides, or was read-only before, does not matter."""
    try:
        return not os.statvfs(place).f_flag & os.ST_RDONLY
    except OSError:
        return False
