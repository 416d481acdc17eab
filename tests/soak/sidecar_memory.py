"""A sidecar that runs for long: its memory stays flat, whatever many agents do, and while its control plane comes and goes.

Agents come and go, in runs with tools, hosts and arguments that are new now and then, some of them long. Most runs end, some never
do. The control plane is down for every other tenth of the time. The first third fills what is bounded; after that the resident
memory may not grow by more than a tenth and 8 MB, and every report arrives.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

from tests.e2e.sidecar_process import Process, until
from tests.e2e.sidecar_upstream import OWN, Upstream

FULL = 60_000
SHORT = 1_500
AGENTS = 60
"""Twice as many as are held in memory at once."""
GROWTH, SLACK = 1.10, 8 << 20


def resident(process):
    """Bytes of memory that a process has."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) << 10


class Agents:
    """Bodies of ``POST /v1/inspect`` and ``/v1/steps``, endless and varied, the same for a seed."""

    def __init__(self, seed):
        self._chance = random.Random(seed)
        self._runs = 0

    def run(self, length):
        """The requests of one run."""
        chance = self._chance
        self._runs += 1
        agent, run = f"agent-{chance.randrange(AGENTS)}", f"run-{self._runs}"
        actions = [self._action(run, n) for n in range(length)]
        yield "/v1/inspect", {"agent": agent, "actions": actions}
        results = [
            {"step": "result", "run_id": run, "action_id": one["id"], "content": "word " * chance.choice((1, 40, 800))}
            for one in actions
        ]
        end = [{"step": "end", "run_id": run}] if chance.random() < 0.9 else []
        yield "/v1/steps", {"agent": agent, "steps": [*results, *end]}

    def _action(self, run, n):
        chance = self._chance
        new = chance.random() < 0.02
        arguments = {"q": "".join(chance.choices("abcdefgh /.", k=chance.choice((5, 60, 2000))))}
        tool = f"tool_{chance.randrange(10**9)}" if new else f"tool_{chance.randrange(9)}"
        host = f"h{chance.randrange(10**9)}.example:443" if new else f"api{chance.randrange(6)}.example:443"
        return {"tool": tool, "target": host, "id": f"{run}-{n}", "run_id": run, "metadata": {"arguments": arguments}}


def soak(amount, directory):
    """``amount`` actions."""
    upstream = Upstream().start()
    data = directory / "sidecar"
    data.mkdir()
    sidecar = Process(data, api_url=upstream.url, api_key=OWN, more=("--most-agents", str(AGENTS // 2))).start()
    agents, done, samples, tenth = Agents(7), 0, [], 0
    connection = sidecar.connection()
    while done < amount:
        for path, document in agents.run(20):
            status, _, answer = connection.request("POST", path, json.dumps(document).encode(), {}, 30.0)
            assert status == 200, answer
        done += 20
        if done * 10 // amount > tenth:
            tenth = done * 10 // amount
            samples.append(resident(sidecar.process))
            # What the test's own control plane was sent is counted and forgotten, or it would be what grows.
            upstream.raw.clear()
            upstream.stop() if tenth % 2 and tenth < 10 else upstream.up or upstream.start()
    connection.close()
    upstream.up or upstream.start()
    until(lambda: sidecar.health()["waiting"] == 0, "what waited arrives", patience=120)
    health = sidecar.health()
    arrived = {report.action.id for report in upstream.reports}
    code, said = sidecar.stop()
    upstream.stop()
    filled, most = max(samples[:3]), max(samples[3:])
    assert most <= filled * GROWTH + SLACK, f"memory grew: {[one >> 20 for one in samples]} MB"
    assert len(arrived) == done, f"{done - len(arrived)} reports did not arrive; {health}"
    assert code == 0, said
    assert health["failures"] == 0, health
    return {
        "actions": done,
        "megabytes": [round(one / (1 << 20), 1) for one in samples],
        "arrived": len(arrived),
        "evicted_agents": health["losses"]["agents_evicted"],
        "lost": health["lost"],
    }
