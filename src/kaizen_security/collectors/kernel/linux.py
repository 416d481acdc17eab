"""The system calls that Python does not know, by number: bpf(2), seccomp(2), Landlock, namespaces, mounts, capabilities.

Nothing here decides anything; every failure is an OSError that names the call.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long

_NUMBERS = {
    "x86_64": {"bpf": 321, "seccomp": 317, "capset": 126, "perf_event_open": 298},
    "aarch64": {"bpf": 280, "seccomp": 277, "capset": 91, "perf_event_open": 241},
}
# The same on every architecture that came after them.
_COMMON = {
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "landlock_create_ruleset": 444,
    "landlock_add_rule": 445,
    "landlock_restrict_self": 446,
}

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x00020000, 0x10000000, 0x40000000
MS_BIND, MS_REC, MS_PRIVATE, MS_REMOUNT = 4096, 16384, 1 << 18, 32
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, PR_CAP_AMBIENT_CLEAR_ALL = 24, 38, 47, 2, 4
CAP_NET_ADMIN = 12
FAN_CLOEXEC, FAN_NONBLOCK, FAN_CLASS_CONTENT, FAN_UNLIMITED_MARKS, FAN_REPORT_DFID_NAME = 1, 2, 4, 0x20, 0x400 | 0x800


class Unsupported(OSError):
    """This architecture's numbers are not known here."""


def syscall(name: str, *arguments: int | ctypes.Array[ctypes.c_char] | ctypes._Pointer[ctypes.c_char] | None) -> int:
    """One system call by its name: what it returned. Raises OSError."""
    number = _COMMON.get(name) or _NUMBERS.get(platform.machine(), {}).get(name)
    if number is None:
        raise Unsupported(f"{name}(2) has no known number on {platform.machine()}")
    words = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    return _checked(name, _LIBC.syscall(ctypes.c_long(number), *words))


def _checked(name: str, result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result


def unshare(flags: int) -> None:
    """Give this process namespaces of its own. Raises OSError."""
    _checked("unshare", _LIBC.unshare(ctypes.c_int(flags)))


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """mount(2). Raises OSError."""
    _checked(
        f"mount {target}",
        _LIBC.mount(
            os.fsencode(source), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), data.encode() or None
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """One line of /proc/pid/mountinfo (proc(5)): what of which device, or of which ``kind`` of filesystem, is where."""

    device: str
    root: str
    place: str
    options: tuple[str, ...]
    kind: str


_ESCAPED = re.compile(r"\\([0-7]{3})")


def mounts(mountinfo: str) -> Iterator[Mount]:
    """Mounts in their order: of two at one place the later one hides the other."""
    for line in mountinfo.splitlines():
        fields, _, kind = line.partition(" - ")
        _, _, device, root, place, options, *_ = fields.split(" ")
        root, place = (_ESCAPED.sub(lambda found: chr(int(found[1], 8)), text) for text in (root, place))
        yield Mount(device=device, root=root, place=place, options=tuple(options.split(",")), kind=kind.split(" ")[0])


def prctl(option: int, *arguments: int) -> int:
    """prctl(2). Raises OSError."""
    words = [ctypes.c_ulong(one) for one in (*arguments, 0, 0, 0, 0)[:4]]
    return _checked(f"prctl {option}", _LIBC.prctl(ctypes.c_int(option), *words))


def fanotify_init(*, permission: bool) -> int:
    """A fanotify(7) group; ``permission``: one that is asked before a file is opened. Raises OSError."""
    flags = FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_MARKS | (FAN_CLASS_CONTENT if permission else 0)
    return _checked(
        "fanotify_init", _LIBC.fanotify_init(ctypes.c_uint(flags), ctypes.c_uint(os.O_RDONLY | os.O_LARGEFILE))
    )


def fanotify_names() -> int:
    """A fanotify(7) group that tells directories and names of what changed (Linux 5.9). Raises OSError."""
    flags = FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_MARKS | FAN_REPORT_DFID_NAME
    return _checked("fanotify_init", _LIBC.fanotify_init(ctypes.c_uint(flags), ctypes.c_uint(os.O_RDONLY)))


def fanotify_mark(group: int, flags: int, mask: int, path: str) -> None:
    """Add or remove what ``group`` hears of ``path``. Raises OSError."""
    _checked(
        f"fanotify_mark {path}",
        _LIBC.fanotify_mark(
            ctypes.c_int(group), ctypes.c_uint(flags), ctypes.c_uint64(mask), ctypes.c_int(-100), os.fsencode(path)
        ),
    )


def last_capability() -> int:
    """The highest capability that this kernel knows."""
    with open("/proc/sys/kernel/cap_last_cap") as file:
        return int(file.read())


def capabilities() -> int:
    """The effective capabilities of this process, a bit each."""
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith("CapEff:"):
                return int(line.split()[1], 16)
    return 0


@contextmanager
def handed_on(capability: int) -> Iterator[None]:
    """Within, programs that this process starts have one of its capabilities, whoever its user is (ambient). Raises OSError."""
    held = capabilities()
    _capset(held, 1 << capability)
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability)
    try:
        yield
    finally:
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
        _capset(held, 0)


def keep_capabilities(kept: int) -> None:
    """Give up every capability but those in ``kept``, for this process and all that it starts. Raises OSError."""
    for number in range(last_capability() + 1):
        if not kept >> number & 1:
            prctl(PR_CAPBSET_DROP, number)
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    _capset(kept & capabilities(), 0)


def _capset(held: int, inheritable: int) -> None:
    low, high = 0xFFFFFFFF, 32
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this process
    data = (ctypes.c_uint32 * 6)(
        held & low, held & low, inheritable & low, held >> high, held >> high, inheritable >> high
    )
    number = _NUMBERS[platform.machine()]["capset"]
    _checked("capset", _LIBC.syscall(ctypes.c_long(number), header, data))
