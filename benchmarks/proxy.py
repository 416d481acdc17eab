"""The egress proxy beside a direct connection and beside tinyproxy, squid, envoy and mitmproxy, where they are installed.

``python -m benchmarks.proxy [--long] [--keep]``, or ``make bench-proxy``. Origin, load and each proxy are processes of their own on
loopback; rounds are interleaved and their order is reversed each time; figures are medians. CPU is that of the proxy's process, its
threads and children, divided by what it did; for ours it includes reporting. Rates move by ±40 % on shared cores: compare CPU, and
ratios within one run.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from socket import create_connection

from benchmarks import kept, proxy_page
from benchmarks.proxy_loads import Load, Subject, bulk, hung, idle, keep_alive, latency, new_tunnels
from benchmarks.proxy_parts import all_descriptors, origin, plane
from benchmarks.proxy_peers import PEERS, Start, kaizen

SHARES = {"mitmproxy": 0.05}
"""Of the load, for what is a hundred times slower."""


@contextmanager
def started(start: Start) -> Iterator[subprocess.Popen[bytes]]:
    """A process that listens on its port; ended afterwards."""
    process = subprocess.Popen(start.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=start.env)
    try:
        end = time.monotonic() + 30
        while True:
            with suppress(OSError), create_connection(("127.0.0.1", start.port), timeout=1):
                break
            if time.monotonic() > end or process.poll() is not None:
                raise SystemExit(f"{start.name} does not listen on port {start.port}")
            select.select([], [], [], 0.05)
        yield process
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        if process.poll() is None:
            process.kill()
            process.wait()


@contextmanager
def helper(folder: Path, name: str) -> Iterator[tuple[int, int]]:
    """``origin`` or ``plane`` as a process: its port and its number."""
    file = folder / f"{name}.port"
    with subprocess.Popen([sys.executable, "-m", "benchmarks.proxy", f"--{name}", str(file)]) as process:
        try:
            while not file.is_file() or not file.read_text():
                select.select([], [], [], 0.02)
            yield int(file.read_text()), process.pid
        finally:
            process.terminate()


def measure(subjects: list[Subject], target: int, rounds: int, loads: list[Load]) -> dict[str, dict[str, float]]:
    """Medians by subject."""
    seen: dict[str, dict[str, list[float]]] = {subject.name: {} for subject in subjects}
    for number in range(rounds):
        for load in loads:
            for subject in subjects if number % 2 == 0 else reversed(subjects):
                print(f"{load.__qualname__.partition('.')[0]} of {subject.name}", file=sys.stderr, flush=True)
                for name, value in load(subject, target).items():
                    seen[subject.name].setdefault(name, []).append(value)
    return {
        name: {key: round(statistics.median(values), 2) for key, values in found.items()}
        for name, found in seen.items()
    }


def run(*, long: bool, only: frozenset[str]) -> dict[str, object]:
    """All subjects that are there, all loads."""
    many = 10 if long else 1
    loads = [new_tunnels(2000 * many), latency(200 * many), keep_alive(2000 * many)]
    heavy = [bulk((512 * many) << 20, 1), bulk((256 * many) << 20, 64), hung(150 * many)]
    all_descriptors()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        target, _ = stack.enter_context(helper(folder, "origin"))
        port, pid = stack.enter_context(helper(folder, "plane"))
        ours = kaizen(folder, f"http://127.0.0.1:{port}")
        subjects = [Subject("direct", 0, os.getpid())]
        subjects.append(Subject("kaizen", ours.port, stack.enter_context(started(ours)).pid, plane=pid))
        skipped = []
        for name, make in PEERS.items():
            start = make(folder) if not only or name in only else None
            if start is None:
                skipped.append(name)
                continue
            process = stack.enter_context(started(start))
            subjects.append(Subject(name, start.port, process.pid, share=SHARES.get(name, 1.0)))
        for subject in subjects:
            new_tunnels(200)(subject, target)
        results = measure(subjects, target, 5 if long else 3, loads)
        for more in (
            measure(subjects, target, 3 if long else 2, heavy),
            measure(subjects, target, 1, [idle(9000 if long else 1500)]),
        ):
            for name, found in more.items():
                results[name] |= found
    for key in ("tunnel_cpu_us", "request_cpu_us"):
        results["direct"].pop(key, None)
    return {"results": results, "skipped": skipped, "form": "long" if long else "short"}


def main() -> None:
    """Measure, print, and with ``--keep`` store the figures and renew what the docs quote."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--long", action="store_true", help="ten times as much, and 9,000 idle tunnels")
    parser.add_argument("--keep", action="store_true", help="store the figures, and renew page and charts")
    parser.add_argument("--only", nargs="*", default=[], choices=sorted(PEERS), help="these peers alone")
    parser.add_argument("--origin", help=argparse.SUPPRESS)
    parser.add_argument("--plane", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.origin:
        origin(args.origin)
    if args.plane:
        plane(args.plane)
    found = run(long=args.long, only=frozenset(args.only))
    if args.keep:
        command = "make bench-proxy" + (" LONG=1" if args.long else "")
        proxy_page.write(kept.keep("proxy", command, found))
    print(json.dumps(found, indent=1))
    print("\n".join(proxy_page.table(found)))


if __name__ == "__main__":
    main()
