"""What each program of the kernel rung takes in the kernel, by the kernel's own count (BPF_ENABLE_STATS)."""

from __future__ import annotations

import os
import statistics
import struct
from collections import defaultdict
from collections.abc import Mapping

from benchmarks.kernel_loads import Caller, attached, server
from benchmarks.kernel_nothing import TRACED, nothing
from kaizen_security.collectors.kernel import bpf

_ENABLE_STATS = 32
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


def _all_counted(empty: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    return {f"nothing at {place}": _counted(program) for place, program in empty.items()}


def _counted(program: int) -> tuple[int, int]:
    with open(f"/proc/self/fdinfo/{program}") as file:
        said = dict(line.split(":", 1) for line in file if ":" in line)
    return int(said["run_time_ns"]), int(said["run_cnt"])


def in_kernel(rounds: int) -> dict[str, dict[str, float]]:
    """Nanoseconds of a call of each program, in the cheapest round and in the median one."""
    took: dict[str, list[float]] = defaultdict(list)
    stats = bpf.command(_ENABLE_STATS, struct.pack("=I", 0))
    try:
        with server() as port, attached(port) as (collector, _), nothing(("connect4", *TRACED)) as empty:
            caller = Caller(port)
            for who in ("bystander", "agent"):
                if who == "agent":
                    collector.mark(caller.pid, 0)
                for _ in range(rounds):
                    for call, n, programs, more in ROUNDS:
                        before = {**collector.run_times(), **_all_counted(empty)}
                        caller.round(call, n)
                        after = {**collector.run_times(), **_all_counted(empty)}
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
