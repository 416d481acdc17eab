"""The sandbox's judge over many runs, in one process: what it holds along the way. Every twentieth run lies.

``python -m benchmarks.sandbox_memory [--runs N]``, about two minutes for 24,000 runs. What it remembers is bounded (16,384
verdicts, 8,192 effects, 256 runs, 1,000 gaps), so memory should rise until these are full and stay there.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.kept import keep
from benchmarks.sandbox import DECLARATION, LIE_EVERY, memory
from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.step import End, Request, Result
from kaizen_security.observer.gap.expectation import read_expectation
from kaizen_security.runtime.clock import now
from kaizen_security.sandbox.run import Sandbox
from kaizen_security.sandbox.settings import Settings

LOOKS = 12
FLAT = 1.02
"""How much more the last look may hold than the one before three further ones."""


async def one(sandbox: Sandbox, number: int) -> None:
    """One run: a call, the connections behind it, its end."""
    run, sidecar = f"r{number}", sandbox.parts.sidecar
    await sidecar.take([Request(run_id=run, text="where is my order?", agent="bench")])
    call = Action(tool="lookup_order", id=f"{run}-1", run_id=run, agent="bench", metadata={"source": "otel"})
    await sidecar.take([call])
    for host in ("api.internal", *(["attacker.example"] if number % LIE_EVERY == 0 else [])):
        seen: dict[str, Json] = {
            "source": "egress",
            "phase": "end",
            "ended": "closed",
            "bytes_up": 200,
            "duration_ms": 2.0,
        }
        effect = Action("http", target=f"{host}:80", agent="bench", id=f"{run}-{host}", at=now(), metadata=seen)
        await sidecar.take([effect])
    await sidecar.take([Result(run_id=run, action_id=f"{run}-1", content="shipped", agent="bench")])
    await sidecar.take([End(run_id=run, agent="bench")])
    sandbox.gaps.wake()
    sandbox.parts.inspector.wake(now())


async def measured(runs: int) -> tuple[list[list[float]], list[int]]:
    """Runs and MB, look by look; and objects that Python holds then."""
    with tempfile.TemporaryDirectory() as data:
        expectation = read_expectation(json.loads(json.dumps(DECLARATION)))
        sandbox = Sandbox(Settings(agent="bench", data=Path(data), expectation=expectation, declared=True))
        looks: list[list[float]] = []
        objects: list[int] = []
        for number in range(1, runs + 1):
            await one(sandbox, number)
            if number % (runs // LOOKS) == 0:
                gc.collect()
                looks.append([number, round(memory(os.getpid()), 1)])
                objects.append(len(gc.get_objects()))
                print(*looks[-1], objects[-1], flush=True)
    return looks, objects


def main(argv: list[str] | None = None) -> int:
    """0 when memory is flat at the end."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=24_000)
    args = parser.parse_args(argv)
    logging.disable(logging.CRITICAL)
    looks, objects = asyncio.run(measured(args.runs))
    command = f"python -m benchmarks.sandbox_memory --runs {args.runs}"
    keep("sandbox_memory", command, {"runs and MB": looks, "objects": objects})
    return 0 if looks[-1][1] <= looks[-4][1] * FLAT else 1


if __name__ == "__main__":
    sys.exit(main())
