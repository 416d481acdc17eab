"""What the kernel rung costs: ``python -m benchmarks.kernel`` (root; about three minutes), of which ``--only`` measures a part.

Calls: one process makes short rounds of one call, bare, with empty programs, as a bystander and as an agent in turn; the figure is
the fastest round of each, for that is the one that nobody else on the machine disturbed, and the ratio is of these. Whole programs:
CPU time (theirs and their children's) and wall time, of one close to the other; the figure is the median of the turns' ratios. In
the kernel: its own count (BPF_ENABLE_STATS), the cheapest round and the median one, beside a program that does nothing. Reader: its
CPU time, and what it read of what was sent.
Writes benchmarks/results/kernel.json and docs/reference/kernel-figures.md.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from itertools import permutations
from pathlib import Path

from benchmarks.kept import about, conditions, keep, stored
from benchmarks.kernel_inside import in_kernel
from benchmarks.kernel_loads import (
    SESSION,
    SUITE,
    TOOLS,
    WHO,
    Caller,
    Reader,
    Runner,
    attached,
    far_away,
    let_go,
    server,
    wheel,
)
from benchmarks.kernel_nothing import nothing
from kaizen_security.collectors.kernel.collector import IDLE, Collector, NotHere, left_behind
from kaizen_security.collectors.kernel.shapes import Agent, Kind

ROOT = Path(__file__).resolve().parent.parent
COMMAND = "python -m benchmarks.kernel"
PAGE = ROOT / "docs/reference/kernel-figures.md"
CALLS = {
    "TCP connect": ("connect", 50),
    "TCP connect, 0.2 ms away": ("far200", 20),
    "TCP connect, 1 ms away": ("far1000", 5),
    "UDP sendto": ("send", 200),
    "fork and exec": ("spawn", 5),
}
"""Calls, as ``kernel_loads.CALLS`` names them, and how many make a round."""
MEMORY = Path("/dev/shm")
"""Where whole programs keep their files: a disk takes as long as it likes."""
SETTLES = 0.05
"""Seconds before a program runs: after attaching or letting go the kernel may still be putting things in order."""
Figures = dict[str, dict[str, float]]


def calls(turns: int, rounds: int) -> dict[str, Figures]:
    """Microseconds of each call for each of WHO, and the ratio to bare: of the fastest rounds, and the median of the turns'."""
    with server() as port, far_away() as far:
        caller = Caller(port)
        made = {name: (call, n) for name, (call, n) in CALLS.items() if far or not call.startswith("far")}
        least: dict[str, dict[str, list[float]]] = {name: {who: [] for who in WHO} for name in made}
        for _ in range(turns):
            for name, (call, n) in made.items():
                least[name]["bare"].append(min(caller.round(call, n) for _ in range(rounds)))
            with nothing():
                for name, (call, n) in made.items():
                    least[name]["empty"].append(min(caller.round(call, n) for _ in range(rounds)))
            with attached(port) as (collector, _):
                for name, (call, n) in made.items():
                    bystander, agent = [], []
                    for _ in range(rounds):
                        bystander.append(caller.round(call, n))
                        collector.mark(caller.pid, 0)
                        agent.append(caller.round(call, n))
                        collector.unmark(caller.pid)
                    least[name]["bystander"].append(min(bystander))
                    least[name]["agent"].append(min(agent))
        caller.close()
    return {name: _beside(took) for name, took in least.items()}


def _beside(took: Mapping[str, list[float]]) -> Figures:
    """Of each: the least, its ratio to the least bare one, and the median of the turns' ratios with its 95 % interval."""
    return {who: _pairs(values, took["bare"]) for who, values in took.items()}


def _pairs(values: Sequence[float], bare: Sequence[float]) -> dict[str, float]:
    ratios = [one / other for one, other in zip(values, bare, strict=True)]
    low, high = interval(ratios)
    return {
        "least": min(values),
        "ratio": min(values) / min(bare),
        "median ratio": statistics.median(ratios),
        "median ratio, from": low,
        "median ratio, to": high,
        "pairs": len(ratios),
    }


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Between which 95 % of the medians lie of samples that are drawn from these, with replacement."""
    chance = random.Random(8)
    medians = sorted(statistics.median(chance.choices(values, k=len(values))) for _ in range(2000))
    return medians[50], medians[-51]


def programs_of(folder: str, turns: int) -> dict[str, dict[str, Figures]]:
    """CPU and wall seconds of whole programs, bare, as a bystander and as an agent, and of the reader meanwhile."""
    suite = Path(folder) / "test_suite.py"
    suite.write_text(SUITE)
    found = {}
    with server() as port, attached(port) as (collector, reader):
        tools = [str(shutil.which("bash")), "-c", TOOLS, "work", folder, sys.executable]
        works = {
            "git, pip, pytest": ([*tools, str(wheel(Path(folder))), str(suite)], turns),
            "an agent's session": ([sys.executable, "-S", "-c", SESSION, str(port), folder], 3 * turns),
        }
        runner = Runner()
        for name, (words, times) in works.items():
            runner.run(words)
            turned = [_turn(runner, words, collector, reader, n) for n in range(times)]
            found[name] = {
                kind: {
                    who: _pairs([turn[who][i] for turn in turned], [turn["bare"][i] for turn in turned]) for who in MADE
                }
                for i, kind in enumerate(("wall", "cpu"))
            }
            found[name]["reader"] = {"agent": {"least": min(turn["reader"][1] for turn in turned)}}
        runner.close()
    return found


MADE = ("bare", "bystander", "agent")
"""Who makes whole programs."""


def _turn(
    runner: Runner, words: list[str], collector: Collector, reader: Reader, turn: int
) -> dict[str, tuple[float, float]]:
    """Wall and CPU seconds of one run of each of MADE, one close to the other, and of the reader at the agent's.

    The bare run is first, second or last, and what comes before what is another thing at each of six turns.
    """
    took = {}
    for who in tuple(permutations(MADE))[turn % 6]:
        with ExitStack() as meanwhile:
            if who == "bare":
                meanwhile.enter_context(reader.at_rest())
                meanwhile.enter_context(let_go(collector))
            elif who == "agent":
                collector.mark(runner.pid, 0)
                meanwhile.callback(collector.unmark, runner.pid)
            before = reader.seconds
            time.sleep(SETTLES)  # before each of them: what has just slept finds its caches cold
            took[who] = runner.run(words)
        if who == "agent":
            time.sleep(IDLE)
            took["reader"] = 0.0, reader.seconds - before
    return took


FLOOD = """
import socket, sys
for n in range(int(sys.argv[1])):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); sock.connect_ex(("192.0.2.7", 1024 + n % 60000)); sock.close()
"""


def reader(sent: int) -> dict[str, float]:
    """Events of each CPU second that the reader takes, and whether sent is read and lost, to the last one, in two floods."""
    found: dict[str, float] = {}
    with Collector.start() as collector:
        collector.serve(0, flags=Agent.LIVE)
        mark = lambda: collector.mark(os.getpid(), 0)  # noqa: E731 - between fork and exec
        words = [sys.executable, "-S", "-c", FLOOD]
        # Nobody reads: what the ring holds is read after, all else was counted.
        subprocess.run([*words, str(sent)], preexec_fn=mark, check=True)
        began, wall = time.thread_time(), time.perf_counter()
        read = sum(1 for event in collector.drain() if event.kind is Kind.CONNECT)
        cpu, wall = time.thread_time() - began, time.perf_counter() - wall
        lost = collector.counters()["lost_ring"]
        found |= {
            "decoded, events a CPU second": read / cpu,
            "decoded, events a second": read / wall,
            "unread flood: sent": sent,
            "unread flood: read": read,
            "unread flood: lost, ring full": lost,
            "unread flood: unaccounted": sent - read - lost,
        }
        # Somebody reads as a run does: what is told, what is counted as known, what is counted as lost.
        before, reading = collector.counters(), Reader(collector)
        began, wall = time.thread_time(), time.perf_counter()
        flooding = [subprocess.Popen([*words, str(sent // 2)], preexec_fn=mark) for _ in range(2)]  # noqa: PLW1509 - one call
        while any(process.poll() is None for process in flooding):
            reading.look(0.05)
        reading.look(0.0)
        cpu, wall = time.thread_time() - began, time.perf_counter() - wall
        lost = collector.counters()["lost_ring"] - before["lost_ring"]
        executions = len(flooding)
        found |= {
            "told, events a CPU second": reading.read / cpu,
            "read flood: events a second": sent / wall,
            "read flood: sent": sent + executions,
            "read flood: read": reading.read,
            "read flood: lost, ring full": lost,
            "read flood: unaccounted": sent + executions - reading.read - lost,
            "read flood: told": reading.told,
            **{f"read flood: not told, {name}": n for name, n in reading.counts.items()},
            "read flood: read and unaccounted": reading.read - reading.told - reading.counts.total(),
        }
    return found


def loading() -> float:
    """Milliseconds to load and attach, the fastest of five times."""
    took = []
    for _ in range(5):
        began = time.perf_counter()
        Collector.start().close()
        took.append(time.perf_counter() - began)
    return min(took) * 1000


def measure(parts: tuple[str, ...], quick: bool) -> dict[str, object]:
    """The figures of ``parts``."""
    found: dict[str, object] = {}
    if "calls" in parts:
        found["load and attach, ms"] = loading()
        found["calls"] = calls(3, 20) if quick else calls(8, 40)
    if "programs" in parts:
        with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
            found["programs"] = programs_of(folder, 3 if quick else 24)
    if "kernel" in parts:
        found["in the kernel"] = in_kernel(30 if quick else 150)
    if "reader" in parts:
        found["reader"] = reader(60_000 if quick else 200_000)
    return found


def page(found: Mapping[str, object]) -> str:
    """The page of the reference."""
    rows, programs, kernel = [], [], []
    for name, of in _figures(found, "calls").items():
        rows.append(
            f"| {name} | {of['bare']['least']:.4g} | x{of['empty']['ratio']:.3f} | x{of['bystander']['ratio']:.3f} "
            f"| x{of['agent']['ratio']:.3f} | x{of['empty']['median ratio']:.3f} | x{of['agent']['median ratio']:.3f} |"
        )
    for name, of in _figures(found, "programs").items():
        reads = of["reader"]["agent"]["least"] / of["cpu"]["bare"]["least"]
        for kind in ("wall", "cpu"):
            bare, bystander, agent = (of[kind][who] for who in MADE)
            programs.append(
                f"| {name}, {kind.replace('cpu', 'CPU')} | {bare['least']:.3g} "
                f"| x{bystander['ratio']:.3f} | x{bystander['median ratio']:.3f} | x{agent['ratio']:.3f} "
                f"| **x{agent['median ratio']:.3f}** ({agent['median ratio, from']:.3f} to {agent['median ratio, to']:.3f}) "
                f"| {f'{reads:.1%}' if kind == 'cpu' else ''} |"
            )
    for name, ns in _figures(found, "in the kernel").items():
        kernel.append(f"| {name} | {ns['least']:.0f} | {ns['median']:.0f} |")
    connect = _figures(found, "calls")["TCP connect"]
    more, floor = (connect[who]["least"] - connect["bare"]["least"] for who in ("agent", "empty"))
    reading = [f"| {name} | {value:,.0f} |" for name, value in _figures(found, "reader").items()]
    return "\n".join(
        [
            "# What the kernel rung costs",
            "",
            "Written by `python -m benchmarks.kernel`; the same figures are in `benchmarks/results/kernel.json`.",
            conditions(found),
            f"Loading and attaching takes {found['load and attach, ms']:.0f} ms.",
            "",
            "*Bare* is without the programs, *empty* with programs that do nothing (`return 1`) at every place where those of the "
            "rung are, *bystander* with the rung's own, attached for somebody else, *agent* in enforce mode, its events read, "
            "translated and counted meanwhile.",
            "",
            "## Calls",
            "",
            "One process makes all of them, in short rounds; microseconds and ratios are of the fastest rounds, the last two "
            "columns are medians of the turns.",
            "",
            "| call | bare, us | empty | bystander | agent | empty, median turn | agent, median turn |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
            f"An agent's connect takes {more:.2f} us more over loopback, where nothing else takes time; three hundredths of it "
            f"are {0.03 * connect['bare']['least']:.2f} us. "
            "That the kernel calls programs there at all, for the packets of both ends and where sockets begin and end, "
            f"takes {floor:.2f} us of that: no program that sees these places can take less"
            + (", so over loopback 3 % is not to be reached." if floor > 0.03 * connect["bare"]["least"] else "."),
            "What is *away* is a device of the benchmark's own: its process answers a connect as much later as is said.",
            "",
            "## Whole programs",
            "",
            "Seconds of wall, and of CPU (theirs and their children's; the reader's own beside it). *Least* compares the fastest "
            "run of each; *median* is of the ratios of "
            + " and ".join(f"{of['wall']['agent']['pairs']:.0f}" for of in _figures(found, "programs").values())
            + " turns, in which bare, bystander and agent follow close on one another in all orders, with "
            "its 95 % interval (bootstrap). Their files are in memory.",
            "",
            "| work | bare, s | bystander, least | bystander, median | agent, least | agent, median | the reader |",
            "|---|---|---|---|---|---|---|",
            *programs,
            "",
            "## In the kernel",
            "",
            "Nanoseconds of one call, by the kernel's own count, in the cheapest round and in the median one (of those in which "
            "nobody else made such a call); *nothing* is a program that does nothing at the same place: what the count itself "
            "costs there, to be taken off the others.",
            "The agent's policy is that of a run in enforce mode: closed when nobody attends, and the server declared with its "
            "port, as a run declares its proxy.",
            "What runs when a process begins or ends finds cold caches, and so does the median on a busy machine.",
            "Of the exec hook a quarter is reading the arguments, a seventh the clock, and the ring most of what is left "
            "([ADR 0026](../adr/0026-a-connection-has-one-place.md)).",
            "",
            "| program | least | median |",
            "|---|---|---|",
            *kernel,
            "",
            "## The reader",
            "",
            "A flood that nobody reads, and one that is read: what was sent is what was read and what was counted as lost, by "
            "reason, to the last event.",
            "Of what was read, a run tells the sidecar or control plane what is new; what it does not tell is counted too.",
            "",
            "| | |",
            "|---|---|",
            *reading,
            "",
            *_memory(),
        ]
    )


def _memory() -> list[str]:
    """What the soak of the reader's memory found, as it is stored."""
    figures = stored("soak-kernel_memory")["figures"]
    samples = figures["megabytes"]
    return [
        "## Memory",
        "",
        f"`python -m tests.soak kernel_memory`: {figures['events']:,} events of hosts, addresses, programs, files and processes "
        "that are new all the time, each decoded, translated and told or counted.",
        f"The process had {samples[0]} MB after the first twelfth of them and {samples[-1]} MB at the end "
        "(`benchmarks/results/soak-kernel_memory.json`).",
        "",
    ]


def _figures(found: Mapping[str, object], part: str) -> dict[str, dict[str, dict[str, float]]]:
    figures = found.get(part, {})
    assert isinstance(figures, dict)
    return figures


PARTS = ("calls", "programs", "kernel", "reader")


def main(argv: list[str] | None = None) -> int:
    """0 when every event was read or counted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="fewer turns")
    parser.add_argument(
        "--keep",
        action=argparse.BooleanOptionalAction,
        help="store the figures and write the page (without either, unless --quick)",
    )
    parser.add_argument("--only", choices=PARTS, help="that part, the others as they were stored")
    args = parser.parse_args(argv)
    if shutil.which("git") is None:
        print("git is not installed", file=sys.stderr)
        return 1
    try:
        Collector.start().close()
    except NotHere as err:
        print(f"no kernel rung here: {err}", file=sys.stderr)
        return 1
    if pins := [str(pin) for pin in left_behind()]:
        print(f"nothing is bare here: programs of another collector are attached ({', '.join(pins)})", file=sys.stderr)
        return 1
    before = stored("kernel") if args.only else {}
    found = {**before, **about("kernel", COMMAND), **measure((args.only,) if args.only else PARTS, args.quick)}
    print(page(found))
    if not args.quick if args.keep is None else args.keep:
        keep("kernel", COMMAND, found)
        PAGE.write_text(page(found))
    reading = found.get("reader")
    assert isinstance(reading, dict)
    return 1 if any(n for name, n in reading.items() if name.endswith("unaccounted")) else 0


if __name__ == "__main__":
    sys.exit(main())
