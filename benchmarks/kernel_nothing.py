"""Programs that do nothing, where those of the kernel rung are attached: what the kernel itself takes to call any at all."""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from kaizen_security.collectors.kernel import bpf
from kaizen_security.collectors.kernel.collector import root_cgroup

_LOAD, _RAW_TRACEPOINT = 5, 17
_SKB, _SOCK, _RAW_TRACEPOINT_KIND, _SOCK_ADDR = 8, 9, 17, 18
_KINDS = {"ingress": _SKB, "egress": _SKB, "sock_create": _SOCK, "sock_release": _SOCK}
"""BPF_PROG_TYPE of the places in a control group that are not of addresses."""
TRACED = ("sched_process_exec", "sched_process_exit", "sched_process_fork")
EVERYWHERE = (*bpf.ATTACH, *TRACED, "tcp_destroy_sock")
"""Every place at which a program of the kernel rung is."""


@contextmanager
def nothing(places: Sequence[str] = EVERYWHERE) -> Iterator[dict[str, int]]:
    """A program at each place that lets everything pass, by descriptor; where this kernel has no such place there is none."""
    cgroup = os.open(root_cgroup(), os.O_RDONLY)
    programs: dict[str, int] = {}
    held = [cgroup]
    try:
        for place in places:
            if place == "connect_unix" and not _has_unix():
                continue
            programs[place] = program = _load(place)
            held.append(program)
            held.append(bpf.attach(place, program, cgroup) if place in bpf.ATTACH else _trace(place, program))
        yield programs
    finally:
        for fd in held:
            os.close(fd)


def _has_unix() -> bool:
    return tuple(int(part) for part in os.uname().release.split(".")[:2]) >= (6, 7)


def _load(place: str) -> int:
    """``r0 = 1; exit``."""
    code = ctypes.create_string_buffer(struct.pack("=BBhiBBhi", 0xB7, 0, 0, 1, 0x95, 0, 0, 0), 16)
    licence = ctypes.create_string_buffer(b"GPL")
    at = bpf.ATTACH.get(place)
    kind = _RAW_TRACEPOINT_KIND if at is None else _KINDS.get(place, _SOCK_ADDR)
    words = kind, 2, ctypes.addressof(code), ctypes.addressof(licence), 0, 0, 0, 0, 0, b"nothing", 0, at or 0
    return bpf.command(_LOAD, struct.pack("=IIQQIIQII16sII", *words))


def _trace(place: str, program: int) -> int:
    name = ctypes.create_string_buffer(place.encode())
    return bpf.command(_RAW_TRACEPOINT, struct.pack("=QI", ctypes.addressof(name), program))
