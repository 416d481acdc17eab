"""What an adapter adds to a call that is allowed: ``python -m benchmarks.integrations [--calls N] [--json FILE]``.

The same call of a tool with and without an attach point, in turned order, on a real sidecar over its Unix socket: the piece that
all adapters use (``base``), and, where the frameworks' environment is set up (``make integrations``), each framework's own call.
And the hook command of coding assistants, a process for each event, beside an interpreter that does nothing.
Budgets: 50 µs more in observe mode; 3 ms more at the 99th percentile with a verdict over the socket; 50 ms for an event of a hook.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.framework_calls import ARGUMENTS, CALLS, search

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENTS = {"a": ("langchain", "pydantic_ai", "openai_agents"), "b": tuple(CALLS)}
"""What is measured in which of the frameworks' environments."""
RESULT = ROOT / "benchmarks" / "results" / "integrations.json"


@contextmanager
def attached(mode: str) -> Iterator[Any]:
    """An agent attached to a sidecar of its own in that mode."""
    from kaizen_security import Kaizen

    with tempfile.TemporaryDirectory() as data:
        place = Path(data) / "s.sock"
        python = os.environ.get("KAIZEN_SERVER_PYTHON", sys.executable)
        command = [
            python,
            "-m",
            "kaizen_security.cli",
            "sidecar",
            "--socket",
            str(place),
            "--port",
            "-1",
            "--data",
            data,
        ]
        command += ["--before-bundle", mode, "--hold-seconds", "0"]
        environment = {**os.environ, "KAIZEN_API_KEY": ""}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as sidecar:
            assert sidecar.stdout is not None
            sidecar.stdout.readline()
            kaizen = Kaizen(agent="bench", sidecar=f"unix://{place}", data=Path(data) / "client", deadline=10)
            kaizen.declare(tools=["search"])
            yield kaizen
            kaizen.close()
            sidecar.terminate()


def compared(bare: Callable[[], object], judged: Callable[[], object], calls: int) -> dict[str, float]:
    """Wall and CPU microseconds of one call without and with, in turned order; ``more`` are the differences."""
    took: dict[str, list[float]] = {"bare": [], "judged": []}
    used = {"bare": 0.0, "judged": 0.0}
    for _ in range(calls // 10):
        bare()
        judged()
    for i in range(calls):
        for name in ("bare", "judged") if i % 2 else ("judged", "bare"):
            call = bare if name == "bare" else judged
            cpu, begun = time.thread_time(), time.perf_counter()
            call()
            took[name].append(time.perf_counter() - begun)
            used[name] += time.thread_time() - cpu
    row = {}
    for name, times in took.items():
        times.sort()
        row[f"{name}_p50_us"] = round(statistics.median(times) * 1e6, 1)
        row[f"{name}_p99_us"] = round(times[int(len(times) * 0.99)] * 1e6, 1)
        row[f"{name}_cpu_us"] = round(used[name] / calls * 1e6, 1)
    for key in ("p50_us", "p99_us", "cpu_us"):
        row[f"more_{key}"] = round(row[f"judged_{key}"] - row[f"bare_{key}"], 1)
    return row


# --- what is compared


def base(kaizen: Any) -> tuple[Callable[[], object], Callable[[], object]]:
    """The piece that every adapter uses."""
    from kaizen_security.integrations.base import Call, attach_point

    point = attach_point(kaizen, "langchain")
    call = Call(tool="search", arguments=ARGUMENTS)
    return lambda: search(**ARGUMENTS), lambda: point.through(call, lambda: search(**ARGUMENTS), lambda no: no.text)


def langchain(kaizen: Any) -> tuple[Callable[[], object], Callable[[], object]]:
    """``tool.invoke``."""
    from langchain_core.tools import StructuredTool

    from kaizen_security.integrations.langchain import guard_tool

    tool = StructuredTool.from_function(search)
    guarded = guard_tool(kaizen, tool)
    return lambda: tool.invoke(ARGUMENTS), lambda: guarded.invoke(ARGUMENTS)


def pydantic_ai(kaizen: Any) -> tuple[Callable[[], object], Callable[[], object]]:
    """A whole run on Pydantic AI's own test model, which calls the tool once."""
    from pydantic_ai import Agent
    from pydantic_ai.models.test import TestModel

    from kaizen_security.integrations.pydantic_ai import KaizenCapability

    bare = Agent(TestModel(), tools=[search])
    judged = Agent(TestModel(), tools=[search], capabilities=[KaizenCapability(kaizen)])
    return lambda: bare.run_sync("go"), lambda: judged.run_sync("go")


def openai_agents(kaizen: Any) -> tuple[Callable[[], object], Callable[[], object]]:
    """``on_invoke_tool``, as the runner calls it, with the hook before it."""
    from agents import function_tool
    from agents.tool_context import ToolContext

    from kaizen_security.integrations import openai_agents as adapter

    hooks = adapter.KaizenHooks(kaizen)
    tool, plain = function_tool(search), function_tool(search)
    given = json.dumps(ARGUMENTS)
    loop = asyncio.new_event_loop()

    def context() -> Any:
        return ToolContext(context=None, tool_name="search", tool_call_id="call_1", tool_arguments=given)

    async def bare() -> object:
        return await plain.on_invoke_tool(context(), given)

    async def judged() -> object:
        named = type("Named", (), {"name": "bench"})()
        with adapter._session(hooks, named, "go"):
            ours = context()
            await hooks.on_tool_start(ours, named, tool)
            return await tool.on_invoke_tool(ours, given)

    def run(one: Callable[[], Awaitable[object]]) -> Callable[[], object]:
        return lambda: loop.run_until_complete(one())

    return run(bare), run(judged)


COMPARED = {"base": base, "langchain": langchain, "pydantic_ai": pydantic_ai, "openai_agents": openai_agents, **CALLS}


def rows(names: list[str], calls: int) -> list[dict[str, Any]]:
    """One row for each of these and each mode."""
    found = []
    for mode in ("observe", "enforce"):
        with attached(mode) as kaizen:
            for name in names:
                bare, judged = COMPARED[name](kaizen)
                some = calls if mode == "observe" or name == "base" else calls // 4
                found.append({"what": name, "mode": mode, "calls": some, **compared(bare, judged, some)})
            kaizen.flush(20)
    return found


def hook() -> dict[str, Any]:
    """The hook command beside an interpreter that does nothing: milliseconds of wall clock and CPU, the best of each."""
    script = ROOT / "src/kaizen_security/integrations/hook.py"
    event = json.dumps(
        {"hook_event_name": "PreToolUse", "session_id": "s", "tool_name": "search", "tool_input": ARGUMENTS}
    )

    def cost(command: list[str]) -> tuple[float, float]:
        wall, cpu = [], []
        for _ in range(15):
            begun = time.perf_counter()
            with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
                assert process.stdin is not None
                process.stdin.write(event.encode())
                process.stdin.close()
                _, status, used = os.wait4(process.pid, 0)
                process.returncode = os.waitstatus_to_exitcode(status)
            wall.append((time.perf_counter() - begun) * 1e3)
            cpu.append((used.ru_utime + used.ru_stime) * 1e3)
        return round(min(wall), 1), round(min(cpu), 1)

    with attached("enforce") as kaizen:
        place = kaizen.settings.sidecar.removeprefix("unix://")
        ours = cost([sys.executable, "-I", "-S", str(script), "--socket", place, "--agent", "bench"])
    bare = cost([sys.executable, "-I", "-S", "-c", "import sys; sys.stdin.read()"])
    return {
        "hook_wall_ms": ours[0],
        "hook_cpu_ms": ours[1],
        "interpreter_wall_ms": bare[0],
        "interpreter_cpu_ms": bare[1],
    }


def main() -> int:
    """0 when every budget is kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=2000, help="calls of each kind (2000)")
    parser.add_argument("--only", nargs="*", default=None, help="only these, in this environment, as JSON lines")
    parser.add_argument("--json", metavar="FILE", default=str(RESULT), help="write the figures there")
    args = parser.parse_args()
    if args.only is not None:
        print(json.dumps(rows(args.only, args.calls)))
        return 0
    found = rows(["base"], args.calls)
    for environment, names in ENVIRONMENTS.items():
        python = ROOT / f".venv-frameworks-{environment}" / "bin" / "python"
        if not python.exists():
            print(
                f"environment {environment} is not set up, so these are left out: {', '.join(names)} (make integrations)"
            )
            continue
        settings = {"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "KAIZEN_SERVER_PYTHON": sys.executable}
        command = [str(python), "-m", "benchmarks.integrations", "--calls", str(args.calls // 4), "--only", *names]
        done = subprocess.run(command, cwd=ROOT, env={**os.environ, **settings}, stdout=subprocess.PIPE, check=True)
        # Frameworks print words of their own; ours come last.
        found += json.loads(done.stdout.decode().splitlines()[-1])
    event = hook()
    print(f"{'what':<17}{'mode':<9}{'bare p50':>10}{'more p50':>10}{'more p99':>10}{'more CPU':>10}   µs")
    for row in found:
        figures = (row["bare_p50_us"], row["more_p50_us"], row["more_p99_us"], row["more_cpu_us"])
        print(f"{row['what']:<17}{row['mode']:<9}" + "".join(f"{figure:>10}" for figure in figures))
    print(f"a hook's event: {event}")
    load = os.getloadavg()[0]
    Path(args.json).write_text(json.dumps({"load": round(load, 1), "rows": found, "hook": event}, indent=1) + "\n")
    kept = event["hook_wall_ms"] <= 50 and all(
        row["more_p50_us"] <= 50 if row["mode"] == "observe" else row["more_p99_us"] <= 3000 for row in found
    )
    print("every budget is kept" if kept else f"a budget is not kept (load {load:.1f})")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
