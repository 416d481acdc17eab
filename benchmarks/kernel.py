"""What the kernel rung costs, side by side in one run: ``python -m benchmarks.kernel`` (root; about two minutes).

Each figure is a ratio against the same work without the programs, taken in turns, and the median of the turns; ``ns`` are the
kernel's own count of what each program took (BPF_ENABLE_STATS). Writes benchmarks/results/kernel.json and
docs/reference/kernel-figures.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from kaizen_security.collectors.kernel import bpf
from kaizen_security.collectors.kernel.collector import Collector, NotHere
from kaizen_security.collectors.kernel.policy import Table, compile_rules
from kaizen_security.collectors.kernel.shapes import Agent
from kaizen_security.contract.declaration import Declaration

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "benchmarks/results/kernel.json"
PAGE = ROOT / "docs/reference/kernel-figures.md"
_ENABLE_STATS = 32
TURNS = 5

CONNECTS = """
import socket, sys, time
port, n = int(sys.argv[1]), int(sys.argv[2])
best = []
for _ in range(2):
    began = time.perf_counter()
    for _ in range(n):
        sock = socket.socket(); sock.connect(("127.0.0.2", port)); sock.close()
    best.append((time.perf_counter() - began) / n)
print(min(best) * 1e6)
"""
DATAGRAMS = """
import socket, sys, time
n = int(sys.argv[2])
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
best = []
for _ in range(2):
    began = time.perf_counter()
    for _ in range(n): sock.sendto(b"x", ("127.0.0.2", 9))
    best.append((time.perf_counter() - began) / n)
print(min(best) * 1e6)
"""
FORKS = """
import os, sys, time
n = int(sys.argv[2])
best = []
for _ in range(2):
    began = time.perf_counter()
    for _ in range(n): os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
    best.append((time.perf_counter() - began) / n)
print(min(best) * 1e6)
"""
SESSION = """
import subprocess, sys, urllib.request
port = sys.argv[1]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
for n in range(20):
    opener.open(f"http://127.0.0.2:{port}/{n}").read()
    subprocess.run(["/bin/sh", "-c", "ls / | wc -l"], capture_output=True)
    open(sys.argv[2] + f"/note-{n}", "w").write("x" * 2000)
"""
SUITE = """
import pytest
@pytest.mark.parametrize("n", range(100))
def test_it(n, tmp_path): (tmp_path / "f").write_text("x")
"""
WORK = """
set -e
cd "$1"; rm -rf repo target; mkdir repo; cd repo
git init -q; for n in $(seq 60); do echo "line $n" > file$n; done
git -c user.name=b -c user.email=b@example.org add . && git -c user.name=b -c user.email=b@example.org commit -qm one
for n in 1 2 3 4; do echo $n >> file1; git -c user.name=b -c user.email=b@example.org commit -qam "$n"; done
git log --stat > /dev/null; git gc -q
cd ..; "$2" -m pip install -q --no-index --no-deps --disable-pip-version-check --target target "$3"
"$2" -m pytest -q -p no:cacheprovider "$4" > /dev/null
"""


class Turns:
    """The same work bare, beside an attached collector, and as an agent's; ``collector`` is started and stopped for each turn."""

    def __init__(self, mark: bool, attach: bool) -> None:
        self._mark = mark
        self._attach = attach
        self.collector: Collector | None = None
        self.lost = 0
        self._stopping = threading.Event()

    def __enter__(self) -> Turns:
        if self._attach:
            self.collector = Collector.start()
            rules = compile_rules(Declaration(destinations=("127.0.0.0/8",)), (), limited=True)
            Table(self.collector, 0).put(rules, Agent.ENFORCE)
            self._thread = threading.Thread(target=self._read, args=(self.collector,))
            self._thread.start()
        return self

    def _read(self, collector: Collector) -> None:
        while not self._stopping.is_set():
            for _ in collector.events(seconds=0.2):
                pass

    def run(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        """One program."""
        collector = self.collector if self._mark else None
        before = (lambda: collector.mark(os.getpid(), 0)) if collector else None
        return subprocess.run(words, capture_output=True, text=True, check=True, preexec_fn=before)

    def __exit__(self, *err: object) -> None:
        if self.collector is not None:
            self._stopping.set()
            self._thread.join()
            self.lost = self.collector.counters()["lost_ring"]
            self.collector.close()


KINDS = {"bare": (False, False), "bystander": (False, True), "agent": (True, True)}


def turns(work: Callable[[Turns], float], number: int = TURNS) -> dict[str, dict[str, float]]:
    """``work`` under each kind in turn: the median of each, and of its ratios to the bare one of the same turn."""
    took: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(number):
        for kind, (mark, attach) in KINDS.items():
            with Turns(mark, attach) as turn:
                took[kind].append(work(turn))
    return {
        kind: {
            "median": statistics.median(values),
            "ratio": statistics.median(value / bare for value, bare in zip(values, took["bare"], strict=True)),
        }
        for kind, values in took.items()
    }


def micro(code: str, port: int, n: int) -> Callable[[Turns], float]:
    """Microseconds for each of ``n`` calls, the best of three rounds of one program."""
    return lambda turn: float(turn.run([sys.executable, "-S", "-c", code, str(port), str(n)]).stdout)


def wall(words: list[str]) -> Callable[[Turns], float]:
    """Seconds that a program takes."""

    def work(turn: Turns) -> float:
        began = time.perf_counter()
        turn.run(words)
        return time.perf_counter() - began

    return work


def listener() -> tuple[socket.socket, int]:
    """An HTTP server of one answer, in threads of this process's own child."""
    code = """
import socket, threading
server = socket.create_server(("127.0.0.2", 0), backlog=4096)
print(server.getsockname()[1], flush=True)
def serve():
    while True:
        sock, _ = server.accept()
        sock.settimeout(5)
        try:
            if sock.recv(4096): sock.sendall(b"HTTP/1.0 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok")
        except OSError: pass
        sock.close()
serve()
"""
    process = subprocess.Popen([sys.executable, "-S", "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, int(process.stdout.readline())  # type: ignore[return-value]


def in_kernel(port: int) -> dict[str, float]:
    """Nanoseconds of each program, for an agent's calls and for everybody else's."""
    stats = bpf.command(_ENABLE_STATS, struct.pack("=I", 0))
    found = {}
    try:
        for who, mark in (("agent", True), ("bystander", False)):
            with Turns(mark, True) as turn:
                for code, n in ((CONNECTS, 3000), (DATAGRAMS, 20000), (FORKS, 200)):
                    turn.run([sys.executable, "-S", "-c", code, str(port), str(n)])
                assert turn.collector is not None
                for name, (spent, calls) in turn.collector.run_times().items():
                    if calls >= 100:
                        found[f"{name}, {who}"] = round(spent / calls, 1)
    finally:
        os.close(stats)
    return found


def reader() -> dict[str, float]:
    """Events a second: a full ring decoded, and what is lost of a flood that is read meanwhile."""
    flood = """
import socket, sys
for n in range(int(sys.argv[1])):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); sock.connect_ex(("127.0.0.2", 1024 + n % 60000)); sock.close()
"""
    with Collector.start() as collector:
        collector.serve(0, flags=Agent.LIVE)
        mark = lambda: collector.mark(os.getpid(), 0)  # noqa: E731 - between fork and exec
        subprocess.run([sys.executable, "-S", "-c", flood, "60000"], preexec_fn=mark, check=True)
        began, read = time.perf_counter(), sum(1 for _ in collector.drain())
        seconds = time.perf_counter() - began
        lost = collector.counters()["lost_ring"]
        unread = {
            "events drained a second": round(read / seconds),
            "of 60000 unread events, counted lost": lost,
            "read": read,
        }
        assert read + lost >= 60000
        before = collector.counters()
        began = time.perf_counter()
        words = [sys.executable, "-S", "-c", flood, "100000"]
        processes = [subprocess.Popen(words, preexec_fn=mark) for _ in range(2)]  # noqa: PLW1509 - one system call
        got = 0
        while any(process.poll() is None for process in processes):
            got += sum(1 for _ in collector.events(seconds=0.05))
        seconds = time.perf_counter() - began
        got += sum(1 for _ in collector.drain())
        after = collector.counters()
        made = after["told"] - before["told"] + after["lost_ring"] - before["lost_ring"]
        return {
            **unread,
            "flood: events made a second": round(made / seconds),
            "flood: lost, counted": after["lost_ring"] - before["lost_ring"],
            "flood: made minus read minus lost": made - got - (after["lost_ring"] - before["lost_ring"]),
        }


def measure(quick: bool) -> dict[str, object]:
    """All figures."""
    number = 3 if quick else TURNS
    server, port = listener()
    try:
        with tempfile.TemporaryDirectory() as folder:
            suite = Path(folder) / "test_suite.py"
            suite.write_text(SUITE)
            wheel = _wheel(Path(folder))
            work = ["bash", "-c", WORK, "work", folder, sys.executable, str(wheel), str(suite)]
            load = []
            for _ in range(5):
                began = time.perf_counter()
                Collector.start().close()
                load.append(time.perf_counter() - began)
            return {
                "machine": f"{platform.platform()}, {os.cpu_count()} cores",
                "load and attach, ms": round(statistics.median(load) * 1000),
                "TCP connect, us": turns(micro(CONNECTS, port, 1500), number),
                "UDP sendto, us": turns(micro(DATAGRAMS, port, 20000), number),
                "fork and exec, us": turns(micro(FORKS, port, 150), number),
                "git, pip, pytest, s": turns(wall(work), 3),
                "agent session, s": turns(wall([sys.executable, "-S", "-c", SESSION, str(port), folder]), number),
                "in the kernel, ns a call": in_kernel(port),
                "reader": reader(),
            }
    finally:
        server.kill()  # type: ignore[attr-defined]
        server.wait()  # type: ignore[attr-defined]


def _wheel(folder: Path) -> Path:
    """A small wheel to install, made here: nothing is downloaded."""
    import zipfile

    path = folder / "small-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for n in range(200):
            archive.writestr(f"small/module{n}.py", "value = 1\n" * 50)
        archive.writestr("small-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: small\nVersion: 1.0\n")
        archive.writestr(
            "small-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: b\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("small-1.0.dist-info/RECORD", "")
    return path


def page(found: dict[str, object]) -> str:
    """The page of the reference."""
    rows = []
    for name in ("TCP connect, us", "UDP sendto, us", "fork and exec, us", "git, pip, pytest, s", "agent session, s"):
        of = found[name]
        assert isinstance(of, dict)
        rows.append(
            f"| {name} | {of['bare']['median']:.4g} | x{of['bystander']['ratio']:.3f} | x{of['agent']['ratio']:.3f} |"
        )
    programs, reading = found["in the kernel, ns a call"], found["reader"]
    assert isinstance(programs, dict)
    assert isinstance(reading, dict)
    return "\n".join(
        [
            "# What the kernel rung costs",
            "",
            "Written by `python -m benchmarks.kernel`; the same figures are in `benchmarks/results/kernel.json`.",
            f"Machine: {found['machine']}.",
            "Each ratio is the median of turns taken side by side: bare, with the programs attached to somebody else, and as an "
            "agent in enforce mode that is read meanwhile.",
            f"Loading and attaching takes {found['load and attach, ms']} ms.",
            "",
            "| work | bare | bystander | agent |",
            "|---|---|---|---|",
            *rows,
            "",
            "| program | ns a call |",
            "|---|---|",
            *(f"| {name} | {ns} |" for name, ns in sorted(programs.items())),
            "",
            "| reader | |",
            "|---|---|",
            *(f"| {name} | {value} |" for name, value in reading.items()),
            "",
        ]
    )


def main(argv: list[str] | None = None) -> int:
    """0 when every event was read or counted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="three turns, and nothing is written")
    args = parser.parse_args(argv)
    if shutil.which("git") is None:
        print("git is not installed", file=sys.stderr)
        return 1
    try:
        Collector.start().close()
    except NotHere as err:
        print(f"no kernel rung here: {err}", file=sys.stderr)
        return 1
    found = measure(args.quick)
    print(page(found))
    if not args.quick:
        RESULT.write_text(json.dumps(found, indent=1) + "\n")
        PAGE.write_text(page(found))
    reading = found["reader"]
    assert isinstance(reading, dict)
    return 0 if reading["flood: made minus read minus lost"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
