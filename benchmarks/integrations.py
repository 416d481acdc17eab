"""What an adapter adds to a call that is allowed: ``python -m benchmarks integrations [--rounds N] [--keep]``.

The same call of a tool without an attach point, with one, and, where the framework has hooks of its own, with a hook that does
nothing, in turned short rounds, on a real sidecar over its Unix socket: the piece that all adapters use (``base``), and, where the
frameworks' environments are set up (``make integrations``), each framework's own call. Of the CPU time of the calling thread the
least round counts, as a busy machine makes the others longer; what our own threads take for it beside is ``ours``.
In enforce mode every call waits for a verdict: how long, is measured where the adapters wait, with a model that takes 50 ms to ask
for its call, and, beside it, with one that takes none (``rushed``): then what the run has to tell is sent before the question.
Beside the 99th percentile of all calls stands that of those from which the machine took nothing meanwhile (``stalls.Machine``).
And the hook command of coding assistants, a process for each event, beside an interpreter that does nothing.
Budgets: 50 µs more than the bare run in observe mode; a verdict over the socket within 3 ms at the 99th percentile;
50 ms for an event of a hook.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.framework_calls import ARGUMENTS, CALLS, THINKS, Calls, base
from benchmarks.integrations_page import PAGE, lines
from benchmarks.kept import keep, quote
from benchmarks.stalls import Machine

ROOT = Path(__file__).resolve().parents[1]
KINDS = {"base": base, **{name: made for several in CALLS.values() for name, made in several.items()}}
BUDGET_US, BUDGET_VERDICT_MS, BUDGET_HOOK_MS = 50.0, 3.0, 50.0
AT_A_STRETCH = 40
"""Calls in one round: long enough for the clock, short enough to fall between two interruptions."""
ENOUGH = 100
"""Calls that must have been calm for their 99th percentile to be one."""


@contextmanager
def attached(mode: str) -> Iterator[tuple[Any, int]]:
    """An agent attached to a sidecar of its own in that mode, and the process of that."""
    from kaizen_security import Kaizen

    with tempfile.TemporaryDirectory() as data:
        place = Path(data) / "s.sock"
        python = os.environ.get("KAIZEN_SERVER_PYTHON", sys.executable)
        command = [python, "-m", "kaizen_security.cli", "sidecar", "--socket", str(place), "--port", "-1"]
        command += ["--data", data, "--before-bundle", mode, "--hold-seconds", "0"]
        environment = {**os.environ, "KAIZEN_API_KEY": ""}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as sidecar:
            assert sidecar.stdout is not None
            sidecar.stdout.readline()
            kaizen = Kaizen(agent="bench", sidecar=f"unix://{place}", data=Path(data) / "client", deadline=10)
            kaizen.declare(tools=["search", "asearch"])
            yield kaizen, sidecar.pid
            kaizen.close()
            sidecar.terminate()


def compared(made: Calls, kaizen: Any, rounds: int) -> dict[str, float]:
    """µs of CPU of one call: ``bare``; what a hook that does nothing adds (``hook``), what ours adds (``more``); ``ours``: what our
    threads took, and the wait for the sidecar's flush among it.
    """
    goes = max(1, AT_A_STRETCH // made.calls)
    kinds = {"bare": made.bare, "judged": made.judged, **({"hooked": made.hooked} if made.hooked else {})}
    least = dict.fromkeys(kinds, float("inf"))
    whole, spent = [], []
    for go in kinds.values():
        go()
    # What is there already is not looked through again: the round that a full collection falls into would pay for all of them.
    gc.collect()
    gc.freeze()
    for i in range(rounds):
        for name in kinds if i % 2 else reversed(kinds):
            go = kinds[name]
            gc.collect(0)
            everything, cpu = time.process_time(), time.thread_time()
            for _ in range(goes):
                go()
            cpu = time.thread_time() - cpu
            least[name] = min(least[name], cpu)
            if name == "judged":
                # What a round has noted is delivered before the next one, so that none pays for a queue that others filled.
                kaizen.flush(20)
                whole.append(cpu)
                spent.append(time.process_time() - everything)
    calls = goes * made.calls
    us = {name: cpu / calls * 1e6 for name, cpu in least.items()}
    return {
        "bare_us": round(us["bare"], 1),
        **({"hook_us": round(us["hooked"] - us["bare"], 1)} if made.hooked else {}),
        "more_us": round(us["judged"] - us["bare"], 1),
        "ours_us": round((min(spent) - least["judged"]) / calls * 1e6, 1),
    }


@contextmanager
def waited() -> Iterator[list[float]]:
    """Seconds that each call waited for its verdict, where adapters wait for it."""
    from kaizen_security.client.client import Kaizen

    took: list[float] = []
    inspect, ainspect = Kaizen.inspect, Kaizen.ainspect

    def timed(self: Any, *args: Any, **fields: Any) -> Any:
        begun = time.perf_counter()
        try:
            return inspect(self, *args, **fields)
        finally:
            took.append(time.perf_counter() - begun)

    async def atimed(self: Any, *args: Any, **fields: Any) -> Any:
        begun = time.perf_counter()
        try:
            return await ainspect(self, *args, **fields)
        finally:
            took.append(time.perf_counter() - begun)

    Kaizen.inspect, Kaizen.ainspect = timed, atimed  # type: ignore[method-assign]
    try:
        yield took
    finally:
        Kaizen.inspect, Kaizen.ainspect = inspect, ainspect  # type: ignore[method-assign]


def verdicts(made: Calls, calls: int, machine: Machine | None = None) -> dict[str, float]:
    """ms that calls, one at a time, waited for their verdicts; empty for what asks for none. ``calm`` are those from which the
    machine took nothing, from the end of the call before to their own.
    """
    made.judged()
    calm: list[float] = []
    if machine is not None:
        machine.was_calm()
    with waited() as took:
        for _ in range(max(1, calls // made.calls)):
            before = len(took)
            made.judged()
            if machine is not None and machine.was_calm():
                calm += took[before:]
    if not took:
        return {}
    found = {"verdicts": len(took), "verdict_p50_ms": round(statistics.median(took) * 1e3, 2)}
    found["verdict_p99_ms"] = _p99(took)
    return found | ({"calm_verdicts": len(calm), "calm_verdict_p99_ms": _p99(calm)} if len(calm) >= ENOUGH else {})


def _p99(seconds: list[float]) -> float:
    return round(sorted(seconds)[int(len(seconds) * 0.99)] * 1e3, 2)


def rows(names: list[str], rounds: int) -> list[dict[str, Any]]:
    """One row for each of these."""
    found: dict[str, dict[str, Any]] = {name: {"what": name} for name in names}
    with attached("observe") as (kaizen, _):
        for name in names:
            made = KINDS[name](kaizen)
            found[name] |= {"calls": made.calls, **compared(made, kaizen, rounds)}
    with attached("enforce") as (kaizen, sidecar):
        machine = Machine(os.getpid(), sidecar)
        for name in names:
            # At once after the request or the result before it, and as it is with a model that takes some time to think.
            found[name] |= verdicts(KINDS[name](kaizen, many=1, thinks=THINKS), rounds * 10, machine)
            rushed = verdicts(KINDS[name](kaizen, many=1), rounds * 10)
            found[name] |= {f"rushed_{field}": value for field, value in rushed.items() if field.endswith("_ms")}
    return list(found.values())


def hook(rounds: int) -> dict[str, Any]:
    """The hook command beside an interpreter that does nothing, in turns: ms of wall clock and CPU, least and median of each."""
    script = ROOT / "src/kaizen_security/integrations/hook.py"
    event = json.dumps(
        {"hook_event_name": "PreToolUse", "session_id": "s", "tool_name": "search", "tool_input": ARGUMENTS}
    )

    def cost(command: list[str]) -> tuple[float, float]:
        begun = time.perf_counter()
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
            assert process.stdin is not None
            process.stdin.write(event.encode())
            process.stdin.close()
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        return (time.perf_counter() - begun) * 1e3, (used.ru_utime + used.ru_stime) * 1e3

    with attached("enforce") as (kaizen, _):
        place = kaizen.settings.sidecar.removeprefix("unix://")
        ours = [sys.executable, "-I", "-S", str(script), "--socket", place, "--agent", "bench"]
        bare = [sys.executable, "-I", "-S", "-c", "import sys; sys.stdin.read()"]
        took = [(cost(ours), cost(bare)) for _ in range(rounds)]
    found: dict[str, Any] = {"rounds": rounds}
    for i, who in enumerate(("hook", "interpreter")):
        for j, what in enumerate(("wall", "cpu")):
            several = [one[i][j] for one in took]
            found |= {
                f"{who}_{what}_ms": round(min(several), 1),
                f"{who}_{what}_median_ms": round(statistics.median(several), 1),
            }
    return found


def measured(rounds: int) -> list[dict[str, Any]]:
    """The rows of every environment that is set up."""
    found = rows(["base"], rounds)
    for environment, kinds in CALLS.items():
        python = ROOT / f".venv-frameworks-{environment}" / "bin" / "python"
        if not python.exists():
            print(f"environment {environment} is not set up (make integrations): left out are {', '.join(kinds)}")
            continue
        settings = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "KAIZEN_SERVER_PYTHON": sys.executable}
        command = [str(python), "-m", "benchmarks.integrations", "--rounds", str(rounds), "--only", *kinds]
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, **settings}, stdout=subprocess.PIPE, check=True)
        # Frameworks print words of their own; ours come last.
        found += json.loads(done.stdout.decode().splitlines()[-1])
    return found


def kept(found: list[dict[str, Any]], event: dict[str, Any]) -> list[str]:
    """The budgets that are not kept."""
    over = [f"{row['what']}: {row['more_us']} µs more" for row in found if row["more_us"] > BUDGET_US]
    late = [row for row in found if row.get("verdict_p99_ms", 0.0) > BUDGET_VERDICT_MS]
    over += [f"{row['what']}: verdicts within {row['verdict_p99_ms']} ms at p99" for row in late]
    return over + ([f"a hook's event: {event['hook_wall_ms']} ms"] if event["hook_wall_ms"] > BUDGET_HOOK_MS else [])


def main() -> int:
    """0 when every budget is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100, help="rounds of each kind (100)")
    parser.add_argument("--only", nargs="*", default=None, help="only these, in this environment, as JSON")
    parser.add_argument("--keep", action="store_true", help="store the figures and write them into the docs")
    args = parser.parse_args()
    if args.only is not None:
        print(json.dumps(rows(args.only, args.rounds)))
        return 0
    found, event = measured(args.rounds), hook(min(args.rounds, 40))
    print("\n".join(lines({"rows": found, "hook": event})))
    over = kept(found, event)
    print("\n".join(["", *over]) if over else "\nevery budget is kept")
    if args.keep:
        document = keep("integrations", "python -m benchmarks integrations", {"rows": found, "hook": event})
        quote(PAGE, "integrations", lines(document))
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
