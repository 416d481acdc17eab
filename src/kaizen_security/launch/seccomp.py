"""A seccomp filter (seccomp(2), classic BPF) that refuses what no agent needs and what leads around the network.

Refused with EACCES: sockets of families beyond unix, IPv4, IPv6 and netlink (vsock, packet, bluetooth, …), raw sockets, bpf(2),
io_uring, kernel modules, kexec, entering foreign namespaces, limits of other processes, and typing into the terminal, which whoever
reads it after the agent would take for the user's words. The supervisor hears of each (``notify``). A call under the numbers of
another architecture ends the process.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct

from kaizen_security.collectors.kernel.linux import PR_SET_NO_NEW_PRIVS, Unsupported, prctl, syscall

_LD, _JEQ, _JGE, _AND, _RET = 0x20, 0x15, 0x35, 0x54, 0x06
_KILL, _ERRNO, _ALLOW, _NOTIFY = 0x80000000, 0x00050000, 0x7FFF0000, 0x7FC00000
_NR, _ARCH, _ARG0, _ARG1 = 0, 4, 16, 24
_SET_MODE_FILTER, _NEW_LISTENER = 1, 8
_X32 = 0x40000000
_DGRAM, _RAW, _PACKET = 2, 3, 10
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16

_TABLE: dict[str, tuple[int, dict[str, int]]] = {
    "x86_64": (
        0xC000003E,
        {
            "socket": 41,
            "bpf": 321,
            "io_uring_setup": 425,
            "init_module": 175,
            "finit_module": 313,
            "kexec_load": 246,
            "setns": 308,
            "perf_event_open": 298,
            "prlimit64": 302,
            "ioctl": 16,
        },
    ),
    "aarch64": (
        0xC00000B7,
        {
            "socket": 198,
            "bpf": 280,
            "io_uring_setup": 425,
            "init_module": 105,
            "finit_module": 273,
            "kexec_load": 104,
            "setns": 268,
            "perf_event_open": 241,
            "prlimit64": 261,
            "ioctl": 29,
        },
    ),
}

REFUSED = ("bpf", "io_uring_setup", "init_module", "finit_module", "kexec_load", "setns", "perf_event_open")
"""Calls that are refused whole."""
_TYPING = (0x5412, 0x541C)
"""TIOCSTI, which puts characters into the terminal's input, and TIOCLINUX, which pastes them (ioctl_tty(2))."""


def program(machine: str, *, unix: bool = True, io_uring: bool = False, udp: bool = True) -> bytes:
    """The filter for ``machine``.

    ``unix`` false: no new unix sockets (socketpair(2) goes on working); ``io_uring`` true: permitted;
    ``udp`` false: no datagram sockets but unix ones.

    Raises Unsupported.
    """
    if machine not in _TABLE:
        raise Unsupported(f"no seccomp filter for {machine}")
    arch, numbers = _TABLE[machine]
    families = [_AF_INET, _AF_INET6, _AF_NETLINK, *([_AF_UNIX] if unix else [])]
    refused = [name for name in REFUSED if not (io_uring and name == "io_uring_setup")]
    code: list[tuple[int, int, int, int]] = [
        (_LD, 0, 0, _ARCH),
        (_JEQ, 1, 0, arch),
        (_RET, 0, 0, _KILL),
        (_LD, 0, 0, _NR),
        (_JGE, 0, 1, _X32),
        (_RET, 0, 0, _ERRNO | errno.ENOSYS),
    ]
    for name in refused:
        code += [(_JEQ, 0, 1, numbers[name]), (_RET, 0, 0, _NOTIFY)]
    # Root may set the limits of any process of root's without a capability, as no file and no CPU time for the supervisor.
    code += [
        (_JEQ, 0, 4, numbers["prlimit64"]),
        (_LD, 0, 0, _ARG0),
        (_JEQ, 1, 0, 0),
        (_RET, 0, 0, _NOTIFY),
        (_RET, 0, 0, _ALLOW),
    ]
    code += [(_JEQ, 0, 5, numbers["ioctl"]), (_LD, 0, 0, _ARG1), (_JEQ, 1, 0, _TYPING[0]), (_JEQ, 0, 1, _TYPING[1])]
    code += [(_RET, 0, 0, _NOTIFY), (_RET, 0, 0, _ALLOW)]
    code += [(_JEQ, 1, 0, numbers["socket"]), (_RET, 0, 0, _ALLOW), (_LD, 0, 0, _ARG0)]
    # A known family jumps to the look at the socket's type, which stands behind the refusal. Only IP sockets are looked at.
    code += [(_JEQ, len(families) - i, 0, family) for i, family in enumerate(families)]
    refuse, kinds = (_RET, 0, 0, _NOTIFY), [_RAW, _PACKET, *([] if udp else [_DGRAM])]
    n = len(kinds)
    code += [refuse, (_JEQ, n + 3, 0, _AF_NETLINK), (_JEQ, n + 2, 0, _AF_UNIX), (_LD, 0, 0, _ARG1), (_AND, 0, 0, 0xF)]
    code += [(_JEQ, n - i, 0, kind) for i, kind in enumerate(kinds)]
    code += [(_RET, 0, 0, _ALLOW), refuse]
    return b"".join(struct.pack("=HBBI", *one) for one in code)


def refuse_odd_ways(*, unix: bool = True, io_uring: bool = False, udp: bool = True) -> int:
    """Put the filter in force for this process and all that it starts, for good: the descriptor of ``notify.Notices``.

    Raises OSError.
    """
    code = program(platform.machine(), unix=unix, io_uring=io_uring, udp=udp)
    instructions = ctypes.create_string_buffer(code, len(code))
    head = struct.pack("@HP", len(code) // 8, ctypes.addressof(instructions))
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    return syscall("seccomp", _SET_MODE_FILTER, _NEW_LISTENER, ctypes.create_string_buffer(head, len(head)))


def number_of(name: str) -> int:
    """A call's number on this machine; -1 when it is unknown."""
    return _TABLE.get(platform.machine(), (0, {}))[1].get(name, -1)


def name_of(number: int) -> str:
    """The name of a refused call, by this machine's numbers."""
    _, numbers = _TABLE.get(platform.machine(), (0, {}))
    return next((name for name, known in numbers.items() if known == number), f"call {number}")


def socket_kind(family: int, kind: int) -> str:
    """What a refused socket would have been, in a word."""
    if family in (_AF_INET, _AF_INET6):
        return "udp-socket" if kind & 0xF == _DGRAM else "raw-socket"
    return {_AF_UNIX: "unix-socket", 17: "packet-socket", 40: "vsock-socket"}.get(family, f"socket-of-family-{family}")
