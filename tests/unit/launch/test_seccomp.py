"""The filter, run by a machine of the test's own: which calls it refuses, and that it refuses no other."""

from __future__ import annotations

import errno
import socket
import struct

import pytest

from kaizen_security.launch.seccomp import REFUSED, program

X86, ARM = 0xC000003E, 0xC00000B7
ALLOW, KILL, NOTIFY = 0x7FFF0000, 0x80000000, 0x7FC00000
SOCKET = {"x86_64": 41, "aarch64": 198}


def outcome(code: bytes, nr: int, arch: int, *arguments: int) -> int:
    """Classic BPF over struct seccomp_data, as the kernel runs it."""
    data = struct.pack("=IIQ6Q", nr, arch, 0, *(arguments + (0,) * 6)[:6])
    accumulator, at = 0, 0
    while True:
        op, yes, no, k = struct.unpack_from("=HBBI", code, at * 8)
        at += 1
        if op == 0x20:
            accumulator = struct.unpack_from("=I", data, k)[0]
        elif op == 0x54:
            accumulator &= k
        elif op == 0x06:
            return k
        else:
            assert op in (0x15, 0x35)
            at += yes if (accumulator == k if op == 0x15 else accumulator >= k) else no


def refused(result: int) -> int:
    return result & 0xFFFF if result & 0xFFFF0000 == 0x00050000 else 0


@pytest.mark.parametrize(("machine", "arch"), [("x86_64", X86), ("aarch64", ARM)])
@pytest.mark.parametrize("unix", [True, False])
@pytest.mark.parametrize("udp", [True, False])
def test_sockets_by_family_and_type(machine: str, arch: int, unix: bool, udp: bool):
    code = program(machine, unix=unix, udp=udp)
    wanted = {
        (1, 1): unix,
        (1, 2): unix,
        (2, 1): True,
        (10, 1 | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK): True,
        (2, 2): udp,
        (10, 2 | socket.SOCK_NONBLOCK): udp,
        (2, 3): False,
        (10, 3): False,
        (2, 10): False,
        (16, 3): True,
        (17, 3): False,
        (40, 1): False,
        (31, 1): False,
    }
    for (family, kind), permitted in wanted.items():
        result = outcome(code, SOCKET[machine], arch, family, kind)
        assert (result == ALLOW) is permitted, (family, kind, hex(result))
        assert permitted or result == NOTIFY


def test_calls_that_lead_out_are_refused_and_others_are_not():
    code = program("x86_64")
    assert outcome(code, 321, X86) == NOTIFY
    assert outcome(code, 425, X86) == NOTIFY
    assert outcome(program("x86_64", io_uring=True), 425, X86) == ALLOW
    allowed = [nr for nr in range(500) if outcome(code, nr, X86, 2, 1) == ALLOW]
    assert len(allowed) == 500 - len(REFUSED) - 1  # and the limits of process 2


@pytest.mark.parametrize(("machine", "arch", "prlimit", "ioctl"), [("x86_64", X86, 302, 16), ("aarch64", ARM, 261, 29)])
def test_limits_of_others_and_typing_into_the_terminal(machine: str, arch: int, prlimit: int, ioctl: int):
    code = program(machine)
    assert [outcome(code, prlimit, arch, pid, 7) for pid in (0, 1, 4711, 1 << 32)] == [ALLOW, NOTIFY, NOTIFY, ALLOW]
    for high in (0, 1 << 32):  # the kernel looks at 32 bits only
        assert [outcome(code, ioctl, arch, 0, high | one) for one in (0x5412, 0x541C)] == [NOTIFY, NOTIFY]
    assert [outcome(code, ioctl, arch, 0x5412, one) for one in (0x5401, 0x5413, 0x541B, 0x541D)] == [ALLOW] * 4


def test_another_architecture_ends_the_process_and_x32_is_no_call():
    assert outcome(program("x86_64"), 41, 0x40000003) == KILL
    assert refused(outcome(program("x86_64"), 0x40000000 | 41, X86, 17, 3)) == errno.ENOSYS
