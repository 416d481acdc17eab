"""Tasks of one agent that are all held at once by a real sidecar, and are answered one after the other.

What it shows: how long it takes to hold them, how soon the sidecar answers another call meanwhile, how long from an answer until
the call goes on, and the sidecar's memory. ``python -m benchmarks.holds [--tasks N]``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from kaizen_security import AsyncKaizen, KaizenBlocked
from kaizen_security.client.http import Connection


def main(argv: list[str] | None = None) -> int:
    """0 when every task got its own answer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        words = ["--socket", str(data / "s.sock"), "--data", str(data), "--port", "-1", "--before-bundle", "enforce"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("KAIZEN_")}
        command = [sys.executable, "-m", "kaizen_security.cli", "sidecar", *words]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as sidecar:
            assert sidecar.stdout is not None
            sidecar.stdout.readline()
            try:
                found = asyncio.run(_measured(data, args.tasks, sidecar.pid))
            finally:
                sidecar.terminate()
    if args.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name:<44}{value}")
    return 0 if found["tasks that got another's answer"] == 0 else 1


async def _measured(data: Path, tasks: int, pid: int) -> dict[str, float | int | str]:
    url = f"unix://{data / 's.sock'}"
    key = {"Authorization": f"Bearer {(data / 'operator.secret').read_text().strip()}"}
    desk = Connection(url, max_bytes=64 << 20)
    desk.json("POST", "/v1/agents/a/manifest", {"tools": ["search"]})
    before = _memory(pid)
    async with AsyncKaizen(
        agent="a", sidecar=url, data=str(data / "client"), hold_seconds=600, deadline=30.0, sync=False
    ) as kaizen:
        went_on: dict[int, float] = {}

        async def task(n: int) -> bool:
            try:
                await kaizen.enforce(tool="pay", run_id=f"run {n}", arguments={"n": n, "text": "x" * 500})
                return True
            except KaizenBlocked:
                return False
            finally:
                went_on[n] = time.perf_counter()

        began = time.perf_counter()
        running = [asyncio.create_task(task(n)) for n in range(tasks)]
        while (now := await asyncio.to_thread(_waiting, desk)) < tasks:
            if any(one.done() for one in running) or time.perf_counter() - began > 60:
                raise SystemExit(
                    f"only {now} are held; lost: {kaizen.lost}; {sum(one.done() for one in running)} ended"
                )
            await asyncio.sleep(0.05)
        held = time.perf_counter() - began
        memory = _memory(pid)
        others = []
        for _ in range(200):
            at = time.perf_counter()
            assert (await kaizen.inspect(tool="search")).allowed
            others.append(time.perf_counter() - at)
        latencies = []
        left = set(range(tasks))
        while left:
            # At most 200 are listed at once; they come up as the others are answered.
            listed = await asyncio.to_thread(desk.json, "GET", "/v1/holds", None, key, 30.0)
            for hold in listed["holds"]:  # type: ignore[index,call-overload]
                n = hold["action"]["metadata"]["arguments"]["n"]
                said = {"answer": "allow_once" if n % 2 else "block"}
                at = time.perf_counter()
                await asyncio.to_thread(desk.json, "POST", f"/v1/holds/{hold['id']}", said, key, 30.0)
                await running[n]
                latencies.append(went_on[n] - at)
                left.discard(n)
        ended = await asyncio.gather(*running)
    latencies.sort()
    others.sort()
    return {
        "tasks held at once": tasks,
        "seconds until all were held": round(held, 2),
        "another call meanwhile, p50 / p99, ms": f"{_at(others, 0.5):.2f} / {_at(others, 0.99):.2f}",
        "answer to going on, p50 / p99, ms": f"{_at(latencies, 0.5):.2f} / {_at(latencies, 0.99):.2f}",
        "sidecar's memory before / held, MB": f"{before:.0f} / {memory:.0f}",
        "tasks that got another's answer": sum(said != bool(n % 2) for n, said in enumerate(ended)),
    }


def _waiting(desk: Connection) -> int:
    holds = desk.json("GET", "/healthz")
    return int(holds["holds"]["waiting"])  # type: ignore[index,call-overload,arg-type]


def _memory(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _at(sorted_: list[float], share: float) -> float:
    return sorted_[min(len(sorted_) - 1, int(share * len(sorted_)))] * 1000


if __name__ == "__main__":
    sys.exit(main())
