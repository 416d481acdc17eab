"""How long a verdict takes: in the Observer, over the number of agents, and over the sidecar's Unix socket.

``python -m benchmarks.observer [--json] [--keep]``. Targets: assess p50 ≤ 250 µs and p99 ≤ 1 ms with 2 KB of
arguments, in a run of 50 steps with 200 KB of results, whatever was learned before;
``POST /v1/inspect`` over the Unix socket p50 ≤ 1 ms, p99 ≤ 3 ms. ``--keep`` stores the figures in
``benchmarks/results/observer.json``, from where ``benchmarks.detection_page`` takes them.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter, thread_time

from benchmarks.kept import keep
from kaizen_security.client.http import Connection
from kaizen_security.contract.action import Action
from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.policy import Policy
from kaizen_security.contract.step import End, Request, Result
from kaizen_security.runtime.agents import AgentKey, Agents
from kaizen_security.runtime.inspector import Inspector

ARGUMENTS = {"text": "x" * 1900, "n": 7, "to": ["a@b.example"] * 4}


def spread(seconds: list[float]) -> dict[str, float]:
    """p50 and p99 in microseconds, by the clock on the wall."""
    cuts = statistics.quantiles(seconds, n=100)
    return {"p50_us": round(cuts[49] * 1e6, 1), "p99_us": round(cuts[98] * 1e6, 1)}


def bundle(agent: str, entries: int) -> Bundle:
    """A blocklist with ``entries`` domains, and a declaration."""
    policy = Policy("blocklist", {"domains": [f"d{n}.blocked.example" for n in range(entries)]}, "list")
    declaration = Declaration(tools=tuple(f"tool{n}" for n in range(20)), destinations=("*.example",))
    return Bundle(agent=agent, version=1, policies=(policy,), declaration=declaration)


def observer(agents: int, rounds: int) -> dict[str, float]:
    """inspect() in this process: note, assess, learn, for ``agents`` agents in turn.

    Beside the wall's time the thread's own CPU time, which neighbours on the machine do not lengthen by taking turns.
    """
    inspector = Inspector(Agents(most=agents + 1), remembered=4096)
    made = bundle("a", 1000)
    for n in range(agents):
        inspector.configure(f"a{n}", made)
    taken, worked = [], []
    for n in range(rounds):
        action = Action(
            id=f"i{n}",
            agent=f"a{n % agents}",
            run_id=f"r{n // 50}",
            tool=f"tool{n % 20}",
            target=f"https://h{n % 50}.example/v1",
            metadata={"source": "sdk", "arguments": {**ARGUMENTS, "n": n}},
        )
        start, began = perf_counter(), thread_time()
        inspector.inspect(action)
        worked.append(thread_time() - began)
        taken.append(perf_counter() - start)
    cpu = {f"cpu_{name}": value for name, value in spread(worked[rounds // 10 :]).items()}
    return spread(taken[rounds // 10 :]) | cpu


def in_a_run(runs: int, *, learned: int = 15) -> dict[str, float]:
    """inspect() of a call with 2 KB of arguments in runs of 50 steps whose results come to 200 KB, after ``learned`` such runs.

    The text is made of some thousands of words, so that a few of them occur both in what was read and in what is sent.
    """
    chance = random.Random(3)
    words = [
        "".join(chance.choice("bcdfglmnprst") + chance.choice("aeiou") for _ in range(chance.randint(2, 4)))
        for _ in range(4000)
    ]

    def text(size: int) -> str:
        return " ".join(chance.choice(words) for _ in range(size // 7))

    inspector, at = Inspector(Agents(), clock=lambda: 2e9), 1e9
    inspector.configure("a", bundle("a", 1000))
    taken: list[float] = []
    worked: list[float] = []
    for run in range(learned + runs):
        name = f"run{run}"
        inspector.note(Request(run_id=name, agent="a", text="Summarise the reports and mail the totals", at=at))
        for step in range(50):
            at += 1
            arguments = {
                "to": "ann@corp.example",
                "subject": text(60),
                "body": text(1800),
                "count": step,
                "cost": 40 + step % 7,
            }
            action = Action(
                id=f"{name}-{step}",
                agent="a",
                run_id=name,
                tool=f"tool{step % 20}",
                target=f"https://h{step % 10}.example/v1",
                metadata={"source": "sdk", "arguments": arguments},
                at=at,
            )
            start, began = perf_counter(), thread_time()
            inspector.inspect(action)
            if run >= learned:
                worked.append(thread_time() - began)
                taken.append(perf_counter() - start)
            content = {"id": step, "text": text(4000)}
            inspector.note(Result(run_id=name, agent="a", action_id=action.id, content=content, at=at))
        inspector.note(End(run_id=name, agent="a", at=at + 1))
    cpu = {f"cpu_{name}": value for name, value in spread(worked).items()}
    lane = inspector.agents.lane(AgentKey("", "a"))
    return spread(taken) | cpu | {"baseline_bytes": len(json.dumps(lane.observer.baseline.to_json()).encode())}


def sidecar(rounds: int) -> dict[str, float]:
    """POST /v1/inspect over the Unix socket of a sidecar process, one at a time, 2 KB of arguments."""
    with tempfile.TemporaryDirectory() as data:
        path = Path(data) / "s.sock"
        command = [sys.executable, "-m", "kaizen_security.cli", "sidecar", "--socket", str(path), "--port", "-1"]
        # A key, so that every verdict also takes the way into the spool; nobody listens upstream.
        environment = {**os.environ, "KAIZEN_API_KEY": "kz_live_" + "b" * 43}
        process = subprocess.Popen(
            [*command, "--data", data, "--api-url", "http://127.0.0.1:9"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        try:
            assert process.stdout is not None
            process.stdout.readline()
            connection = Connection(f"unix://{path}")
            taken = []
            for n in range(rounds):
                action = {"id": f"i{n}", "tool": f"tool{n % 20}", "target": f"https://h{n % 50}.example/v1"}
                document = {"agent": "a", "action": {**action, "metadata": {"arguments": ARGUMENTS}}}
                body = json.dumps(document).encode()
                start = perf_counter()
                status, _, _ = connection.request("POST", "/v1/inspect", body)
                taken.append(perf_counter() - start)
                assert status == 200
            connection.close()
        finally:
            process.terminate()
            process.wait()
    return spread(taken[rounds // 10 :])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keep", action="store_true", help="store the figures")
    parser.add_argument("--rounds", type=int, default=5000)
    args = parser.parse_args()
    found: dict[str, object] = {
        f"observer, {agents} agents": observer(agents, max(args.rounds, agents * 4)) for agents in (1, 100, 2000)
    }
    found["observer, in a run, 15 runs learned"] = in_a_run(max(2, args.rounds // 500))
    found["observer, in a run, 150 runs learned"] = in_a_run(max(2, args.rounds // 500), learned=150)
    found["sidecar, Unix socket"] = sidecar(args.rounds)
    machine = {"python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count()}
    if args.keep:
        keep("observer", "python -m benchmarks observer", {"results": found})
    if args.json:
        print(json.dumps({"results": found, "machine": machine}))
        return
    for name, figures in found.items():
        print(f"{name:24} {figures}")
    print(machine)


if __name__ == "__main__":
    main()
