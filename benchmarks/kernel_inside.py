"""What each program of the kernel rung takes in the kernel, by the kernel's own count (BPF_ENABLE_STATS)."""

from __future__ import annotations

import ctypes
import os
import statistics
import struct
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.kernel_loads import Caller, attached, server
from kaizen_security.collectors.kernel import bpf
from kaizen_security.collectors.kernel.collector import root_cgroup

_ENABLE_STATS = 32
TRACED = ("sched_process_exec", "sched_process_exit", "sched_process_fork")
_STARTED = ("forked", "executed", "exited", *(f"nothing at {name}" for name in TRACED))
ROUNDS: tuple[tuple[str, int, tuple[str, ...], str], ...] = (
    ("connect", 50, ("connect4", "nothing at connect4", "sock_create", "gone"), ""),
    ("connect", 50, ("egress", "ingress"), ""),
    ("attach", 50, ("connect4",), " of a datagram socket, its first call, to a range of loopback"),
    ("first", 50, ("sendmsg4",), " of a datagram socket, its first call"),
    ("send", 200, ("sendmsg4",), ""),
    ("bind", 50, ("bind4",), ""),
    ("ask", 50, ("egress",), " of a question for a name"),
    ("spawn", 5, _STARTED, ""),
)
"""Calls, as ``kernel_loads.CALLS`` names them, how many make a round, which programs they run, and what to call these then.

A program that did not run once for each call of a round ran for somebody else too, so that round says nothing of it; but one packet
is not one call.
"""
_BY_PACKETS = ("egress", "ingress")
Counts = dict[str, tuple[int, int]]


@contextmanager
def _nothing() -> Iterator[Callable[[], Counts]]:
    """Programs that do nothing: what the count itself costs, at connect4, and where a process begins or ends, with
    caches as cold as they are there. Gives nanoseconds and calls so far.
    """
    code = ctypes.create_string_buffer(struct.pack("=BBhi", 0xB7, 0, 0, 1) + struct.pack("=BBhi", 0x95, 0, 0, 0), 16)
    licence = ctypes.create_string_buffer(b"GPL")
    cgroup = os.open(root_cgroup(), os.O_RDONLY)
    programs, held = {}, [cgroup]
    for place, kind, at in (("connect4", 18, bpf.ATTACH["connect4"]), *((name, 17, 0) for name in TRACED)):
        attributes = struct.pack(
            "=IIQQIIQII16sII", kind, 2, ctypes.addressof(code), ctypes.addressof(licence), 0, 0, 0, 0, 0, b"nothing", 0, at
        )  # fmt: skip
        program = programs[f"nothing at {place}"] = bpf.command(5, attributes)
        name = ctypes.create_string_buffer(place.encode())
        traced = struct.pack("=QI", ctypes.addressof(name), program)
        held += [program, bpf.command(17, traced) if kind == 17 else bpf.attach(place, program, cgroup)]
    try:
        yield lambda: {name: _counted(program) for name, program in programs.items()}
    finally:
        for fd in held:
            os.close(fd)


def _counted(program: int) -> tuple[int, int]:
    with open(f"/proc/self/fdinfo/{program}") as file:
        said = dict(line.split(":", 1) for line in file if ":" in line)
    return int(said["run_time_ns"]), int(said["run_cnt"])


def in_kernel(rounds: int) -> dict[str, dict[str, float]]:
    """Nanoseconds of a call of each program, in the cheapest round and in the median one."""
    took: dict[str, list[float]] = defaultdict(list)
    stats = bpf.command(_ENABLE_STATS, struct.pack("=I", 0))
    try:
        with server() as port, attached(port) as (collector, _), _nothing() as nothing:
            caller = Caller(port)
            for who in ("bystander", "agent"):
                if who == "agent":
                    collector.mark(caller.pid, 0)
                for _ in range(rounds):
                    for call, n, programs, more in ROUNDS:
                        before = {**collector.run_times(), **nothing()}
                        caller.round(call, n)
                        after = {**collector.run_times(), **nothing()}
                        for name in programs:
                            spent, times = (after[name][i] - before[name][i] for i in (0, 1))
                            if times == n or (name in _BY_PACKETS and times > n and not more):
                                took[f"{name}{more}, {who}"].append(spent / times)
            caller.close()
    finally:
        os.close(stats)
    return {
        name: {"least": min(values), "median": statistics.median(values)}
        for name, values in sorted(took.items())
        if len(values) >= rounds / 4
    }
