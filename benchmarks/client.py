"""What the client costs its agent: ``python -m benchmarks client``, or ``python -m benchmarks.client --rounds N``, to print only.

Beside each other in one run, rounds interleaved: an empty call, ``inspect`` without and with reporting (a server that answers runs
as a process of its own, on the same machine), a guarded tool, and the naive client that most people write: a queue, a thread, and
one POST with ``urllib`` for each verdict. Budgets are those of the speed table: repeated action 1 µs, enqueue 5 µs (p50), 15 µs
(p99), longest stall 5 ms, import 50 ms. On shared cores compare CPU and ratios, not wall time: the longest stall is also measured
for the empty call, and without what the machine took (``benchmarks/stalls.py``). New targets are judged by policy and declaration.
The lookup in the baseline and the scan for secrets are the sidecar's: both stand beside, in the same run, each by itself. What a
whole verdict costs there is in ``benchmarks/observer.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from benchmarks import client_page
from benchmarks.kept import keep, quote
from benchmarks.stalls import Stalls
from kaizen_security import Action, Kaizen, Policy
from kaizen_security.client.spool import Spool
from kaizen_security.contract import canonical
from kaizen_security.observer.baseline import Baseline, Feature, features, shown
from kaizen_security.observer.credentials import find

KEY = "kz_live_" + "b" * 43
ACTION = Action(tool="search_orders", target="api.internal:443", metadata={"source": "sdk"})
CALLS = 5000
CLEAN = json.dumps(
    {
        "query": "orders of the last week that were sent back",
        "notes": "the customer asked for a copy of the invoice " * 40,
    }
)[:2048]
"""Arguments in which there is nothing to find."""


@dataclass(slots=True)
class Figures:
    """Nanoseconds of each call, and CPU seconds of the whole process, by name."""

    calls: dict[str, list[int]] = field(default_factory=dict)
    cpu: dict[str, list[float]] = field(default_factory=dict)
    stalls: dict[str, dict[str, float]] = field(default_factory=dict)

    def stall(self, name: str, watch: Stalls, call: Callable[[int], object]) -> None:
        """The longest of that many calls; of several rounds the worst."""
        found = watch.longest(call, CALLS)
        known = self.stalls.setdefault(name, found)
        self.stalls[name] = {key: round(max(known[key], value), 3) for key, value in found.items()}

    def measure(self, name: str, call: Callable[[int], object], calls: int = CALLS) -> None:
        """That many calls, each timed."""
        took = self.calls.setdefault(name, [])
        clock = time.perf_counter_ns
        cpu = time.process_time()
        for i in range(calls):
            began = clock()
            call(i)
            took.append(clock() - began)
        self.cpu.setdefault(name, []).append((time.process_time() - cpu) / calls)

    def line(self, name: str) -> dict[str, float]:
        """p50, p99 and longest in microseconds; CPU of all threads in microseconds a call."""
        took = sorted(self.calls[name])
        return {
            "p50_us": took[len(took) // 2] / 1e3,
            "p99_us": took[int(len(took) * 0.99)] / 1e3,
            "longest_ms": took[-1] / 1e6,
            "cpu_us": statistics.median(self.cpu[name]) * 1e6,
        }


class Naive:
    """A queue, a thread, a POST each: what is not sent by ``close`` is lost."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.waiting: queue.Queue[dict[str, object] | None] = queue.Queue(maxsize=1000)
        self.lost = 0
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def report(self, i: int) -> None:
        try:
            self.waiting.put_nowait(
                {"agent": "naive", "action": {"tool": "search_orders", "target": "api.internal:443"}}
            )
        except queue.Full:
            self.lost += 1

    def _work(self) -> None:
        while (document := self.waiting.get()) is not None:
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
            request = urllib.request.Request(self.url + "/v1/verdicts", json.dumps(document).encode(), headers)
            try:
                with urllib.request.urlopen(request, timeout=5) as answer:
                    answer.read()
            except OSError:
                self.lost += 1

    def settle(self) -> None:
        """Let it finish, so that its thread does not disturb what is measured next."""
        while self.waiting.qsize():
            time.sleep(0.01)

    def close(self) -> None:
        self.lost += self.waiting.qsize()


SERVER = """
import asyncio, sys
ANSWER = b'{"accepted":50,"duplicates":0,"rejected":[]}'
ANSWER = b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(ANSWER) + ANSWER
async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            length = next(int(l.split(b":")[1]) for l in head.split(b"\\r\\n") if l.lower().startswith(b"content-length"))
            await reader.readexactly(length)
            writer.write(ANSWER)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
async def main():
    server = await asyncio.start_server(serve, sock=__import__("socket").socket(fileno=int(sys.argv[1])), limit=1 << 22)
    await server.serve_forever()
asyncio.run(main())
"""


def import_times(rounds: int = 7) -> dict[str, float]:
    """Milliseconds of CPU that importing costs a fresh interpreter, compiled files warm; the least of some rounds."""
    found: dict[str, float] = {}
    for name, statement in (
        ("import kaizen_security + Kaizen", "from kaizen_security import Kaizen, KaizenBlocked"),
        ("(for scale) import urllib.request", "import urllib.request"),
        ("(for scale) import asyncio", "import asyncio"),
    ):
        code = f"import time; t = time.process_time(); {statement}; print((time.process_time() - t) * 1e3)"
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        with tempfile.TemporaryDirectory() as compiled:
            environment["PYTHONPYCACHEPREFIX"] = compiled
            ran = [
                float(
                    subprocess.run(
                        [sys.executable, "-c", code], env=environment, capture_output=True, check=True
                    ).stdout
                )
                for _ in range(rounds)
            ]
        found[name] = min(ran[1:])
    return found


AUDIT = """
import sys, time
if sys.argv[1] != "without":
    from kaizen_security import Kaizen
    kaizen = Kaizen(audit=sys.argv[1] == "on", data=sys.argv[2])
    kaizen.inspect(tool="x")
import os
at = time.process_time
def loop(n):
    began = at()
    for _ in range(n):
        os.close(os.open(sys.argv[3], os.O_WRONLY))
    return (at() - began) / n * 1e6
print(min(loop(2000) for _ in range(15)))
"""


def audit_costs(rounds: int = 3) -> dict[str, float]:
    """CPU microseconds of opening and closing a file: package not loaded, loaded with the audit source off, and on; the least."""
    found: dict[str, list[float]] = {"without": [], "off": [], "on": []}
    with tempfile.TemporaryDirectory() as folder:
        opened = os.path.join(folder, "f")
        Path(opened).touch()
        for _ in range(rounds):
            for how, took in found.items():
                words = [sys.executable, "-c", AUDIT, how, os.path.join(folder, "data"), opened]
                took.append(float(subprocess.run(words, capture_output=True, check=True).stdout))
    best = {how: round(min(took), 3) for how, took in found.items()}
    return {
        **best,
        "off_ratio": round(best["off"] / best["without"], 3),
        "each_event": round(best["on"] - best["off"], 3),
    }


def main() -> int:
    """Print the table; 0 always, the figures are for people and for the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rounds", type=int, help="so many, and print only; without it five, kept and quoted by the docs"
    )
    args = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(listener.fileno())], pass_fds=[listener.fileno()])
    figures, lost = Figures(), {}
    try:
        with tempfile.TemporaryDirectory() as data:
            lost = _run(figures, url, data, args.rounds or 5)
    finally:
        server.kill()
        server.wait()
        listener.close()
    result = {
        "calls": {name: figures.line(name) for name in figures.calls},
        "stalls": figures.stalls,
        "reports": lost,
        "import_ms_cpu": import_times(),
        "audit_us_cpu": audit_costs(),
    }
    _print(result)
    if not args.rounds:
        quote(client_page.PAGE, "client", client_page.lines(keep("client", "python -m benchmarks client", result)))
    return 0


def _bad(n: int) -> list[str]:
    return [f"bad{i}.example" for i in range(n)]


def _names(fresh: Iterator[int]) -> list[str]:
    """Targets that were never seen, made before the clock runs."""
    return [f"h{next(fresh)}.example:443" for _ in range(CALLS)]


def _looked_up(baseline: Baseline, action: Action) -> tuple[Feature, ...]:
    """What of the action the baseline does not know, its target read for nobody else."""
    place = canonical.destination(action.kind, action.target)
    return baseline.unknown(action.kind, action.tool, action.source, "" if place is None else shown(place))


def _learned() -> Baseline:
    """What an agent does that has called twelve tools at forty hosts."""
    baseline = Baseline(replica="one")
    for i in range(2000):
        baseline.learn(features(Action(tool=f"tool_{i % 12}", target=f"api{i % 40}.example:443")))
    return baseline


def _run(figures: Figures, url: str, data: str, rounds: int) -> dict[str, dict[str, float]]:
    policies = [Policy("blocklist", {"domains": _bad(10_000)})]
    local = Kaizen(policies=policies, data=data)
    sizes = {n: Kaizen(policies=[Policy("blocklist", {"domains": _bad(n)})], data=data) for n in (1, 100_000)}
    for one in (*sizes.values(), local):
        one.declare(tools=["fetch", "search_orders"], destinations=["*.example", "api.internal"])
    reporting = Kaizen(KEY, url, policies, data=data, sync=False)
    spool = Spool(os.path.join(data, "spool"), max_bytes=1 << 30)
    naive = Naive(url)
    guarded = reporting.guard(lambda order: order, tool="search_orders")
    record = b"x" * 500
    sent = 0
    background: list[float] = []
    fresh = count()
    watch = Stalls()
    baseline = _learned()
    for _ in range(rounds):
        # Longer than the others, so that it meets as many pauses of the machine as they do.
        figures.measure("empty call", lambda i: None, 20 * CALLS)
        figures.measure("inspect, repeated action", lambda i: local.inspect(ACTION))
        names = _names(fresh)
        figures.measure("inspect, new targets", lambda i: local.inspect(tool="fetch", target=names[i]))  # noqa: B023
        for n, one in sizes.items():
            names = _names(fresh)
            figures.measure(
                f"  … {n} entries",
                lambda i, one=one: one.inspect(tool="fetch", target=names[i]),  # type: ignore[misc]  # noqa: B023
            )
        new = [Action(tool="tool_1", target=name) for name in _names(fresh)]
        figures.measure("lookup in the baseline", lambda i: _looked_up(baseline, new[i]))  # noqa: B023
        figures.measure("scan for secrets, 2 KB", lambda i: find(CLEAN), CALLS // 5)
        figures.measure("inspect and report", lambda i: reporting.inspect(ACTION))
        cpu = time.process_time()
        reporting.flush(60)
        background.append((time.process_time() - cpu) / CALLS * 1e6)
        figures.measure("guarded call and report", guarded)
        reporting.flush(60)
        names = _names(fresh)
        figures.stall("empty call", watch, lambda i: None)
        for name, call in (
            ("inspect, new targets", lambda i: local.inspect(tool="fetch", target=names[i])),  # noqa: B023
            ("inspect and report", lambda i: reporting.inspect(ACTION)),
            ("guarded call and report", guarded),
        ):
            figures.stall(name, watch, call)
            reporting.flush(60)
        sent += 4 * CALLS
        figures.measure("spool.append of 500 bytes", lambda i: spool.append(record))
        figures.measure("naive queue and POST", naive.report)
        naive.settle()
    naive.close()
    watch.close()
    kept = {
        "background_cpu_us_each": round(statistics.median(background), 1),
        "reported": sent,
        "lost": sum(reporting.lost.values()),
    }
    reporting.close()
    local.close()
    for one in sizes.values():
        one.close()
    spool.close()
    return {"kaizen": kept, "naive": {"reported": rounds * CALLS, "lost": naive.lost}}


def _print(result: dict[str, object]) -> None:
    print(f"{'':<28}{'p50 µs':>10}{'p99 µs':>10}{'longest ms':>12}{'CPU µs':>10}")
    calls = result["calls"]
    assert isinstance(calls, dict)
    for name, line in calls.items():
        print(
            f"{name:<28}{line['p50_us']:>10.2f}{line['p99_us']:>10.2f}{line['longest_ms']:>12.2f}{line['cpu_us']:>10.1f}"
        )
    print(json.dumps({key: value for key, value in result.items() if key != "calls"}, indent=1))


if __name__ == "__main__":
    sys.exit(main())
