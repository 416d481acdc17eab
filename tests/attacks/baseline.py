"""What an agent normally does, taught by somebody who has its sidecar's socket: told runs, times, requests, declarations, names.

A real sidecar with a grown baseline. Tried is what the poisoning budget says cannot be done, and what the clock may not allow.
"""

from __future__ import annotations

import itertools
import json
import time

from kaizen_security.contract.fields import rfc3339
from tests.e2e.sidecar_process import Process

HOME = "https://api.example/v1"
DAYS = 20
USUAL = 1000
"""Characters that a run usually sends."""
NAMES = 260
"""More agents than a sidecar holds in memory."""


class Taught:
    """An agent beside a sidecar, and its runs."""

    def __init__(self, directory):
        self.process = Process(directory).start()
        self.connection = self.process.connection()
        self.numbers = itertools.count()

    def post(self, path, document):
        fields = {"Content-Type": "application/json"}
        status, _, body = self.connection.request("POST", path, json.dumps(document).encode(), fields, 40.0)
        assert status < 300, (path, status, body)
        return json.loads(body) if body else {}

    def run(self, *, agent="a", at=0.0, **action):
        """One action in a run of its own that completes; the kinds of its findings."""
        run = f"r{next(self.numbers)}"
        when = {"at": rfc3339(at)} if at else {}
        said = self.post("/v1/inspect", {"agent": agent, "action": {"id": run, "run_id": run, **when, **action}})
        done = [
            {"step": "result", "run_id": run, "action_id": run, "content": "ok", **when},
            {"step": "end", "run_id": run, **when},
        ]
        self.post("/v1/steps", {"agent": agent, "steps": done})
        return [one["kind"] for one in said["evidence"]]

    def sends(self, size, at):
        arguments = {"arguments": {"body": "x" * size}}
        return self.run(kind="http", tool="upload", target=HOME, at=at, metadata=arguments)

    def profile(self):
        return self.process.ask("GET", "/v1/agents/a/profile")[1]["profile"]

    def knows(self, dimension, value):
        return value in [row["value"] for row in self.profile()["learned"][dimension]]

    def out_of_memory(self):
        for number in range(NAMES):
            self.post("/v1/inspect", {"agent": f"n{number}", "action": {"tool": "t"}})


def attack(directory):
    """All of it."""
    taught = Taught(directory)
    try:
        now = time.time()
        for hour in range(DAYS * 24):
            taught.sends(USUAL + hour % 7 * 30, now - DAYS * 86_400 + hour * 3600)
        assert taught.profile()["poisoning_budget"]["told.destination"]["actions"] is None
        found = {"values": _values(taught), "names": _names(taught)}
        found["largest_by_growing"] = _grown(taught, now)
        return found
    finally:
        taught.connection.close()
        taught.process.stop()


def _values(taught):
    """New values again and again, in runs that claim to be others', failed ones, and under ids that were used."""
    tried = 0
    for number in range(60):
        for action in (
            {"tool": "wire_money"},
            {"tool": "upload", "target": "https://evil.example/"},
            {"kind": "exec", "target": "ls"},
        ):
            assert taught.run(**action), f"a new value passed after {number} tries"
            tried += 1
    for dimension, value in (("tool", "wire_money"), ("destination", "evil.example"), ("kind", "exec")):
        assert not taught.knows(dimension, value), f"{value} was learned"
    return tried


def _names(taught):
    """Spellings of the agent's name are other agents: none of them teaches it."""
    for name in ("A", "a ", "a\u200b", "\uff41", "a/", "../a", "a\u0301"):
        for _ in range(5):
            taught.run(agent=name, tool="wire_money")
    assert not taught.knows("tool", "wire_money")
    return 7


def _grown(taught, now):
    """Ever larger amounts, at once, of days ago, and after the agent was forgotten: how far it comes in 200 runs."""
    largest = 0
    for way in ("now", "days ago", "forgotten, and days ago"):
        if way.startswith("forgotten"):
            taught.out_of_memory()
        size = 2 * USUAL
        for number in range(200):
            flagged = taught.sends(size, now if way == "now" else now - 4 * 86_400 + number)
            largest = largest if flagged else max(largest, size)
            size = max(USUAL, int(size * (0.8 if flagged else 1.1)))
    assert largest < 40 * USUAL, f"{largest} characters passed, {largest // USUAL} times the usual, within seconds"
    return largest
