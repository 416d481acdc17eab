"""What was live gives the same verdicts in replay: decision, reason and evidence of some hundred mixed lines."""

from __future__ import annotations

import json
import random
import subprocess
import sys

import pytest

from kaizen_security.cli.terminal.verdicts import as_printed
from kaizen_security.contract.bundle import encode_policy
from kaizen_security.contract.codec import decode_verdict, encode_verdict
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.fields import rfc3339
from kaizen_security.contract.policy import Policy
from tests.e2e.sidecar_process import Process
from tests.e2e.sidecar_upstream import OWN, Upstream

POLICIES = (
    Policy("blocklist", {"domains": ["attacker.example"], "ips": ["203.0.113.0/24"]}, "list"),
    Policy("correlation", {"risky_sequence": "read_then_connect"}, "no secrets out"),
)
TOOLS = ("search", "read_file", "send_mail", "summarise")
HOSTS = ("api.example:443", "https://docs.example/v1?q=1", "mail.example:587")


def lines(seed, count=320):
    """Actions, reports and steps of two agents, at times of their own, with something odd every now and then."""
    chance = random.Random(seed)
    at = 1_700_000_000.0
    made = []
    for n in range(count):
        at += chance.choice([0.0, 0.5, 7.0])
        agent = chance.choice(["first", "second"])
        run = chance.choice(["", f"run-{n // 12}"])
        made.append(line(chance, n, agent, run, at))
        if run and chance.random() < 0.15:
            made.append({"step": "end", "agent": agent, "run_id": run, "at": rfc3339(at)})
    return made


def line(chance, n, agent, run, at):
    odd = chance.random()
    action = {
        "tool": chance.choice(TOOLS),
        "target": chance.choice(HOSTS),
        "id": f"i{n}",
        "run_id": run,
        "at": rfc3339(at),
    }
    if odd < 0.05:
        action |= {"kind": "connect", "tool": None, "target": "203.0.113.7:443", "metadata": {"source": "egress"}}
    elif odd < 0.2:
        action |= {"kind": "connect", "tool": None, "metadata": {"source": "egress"}}
    elif odd < 0.25:
        action |= {"tool": "transfer_money"}
    elif odd < 0.3:
        action |= {"kind": "file", "target": "/srv/payroll.csv", "metadata": {"sensitive": True}}
    elif odd < 0.33:
        action |= {"target": "https://drop.attacker.example/"}
    shape = chance.random()
    if shape < 0.35:
        blocked = chance.random() < 0.1
        verdict = {"decision": "block" if blocked else "allow", "reason": "said so", "evidence": []}
        return {"schema_version": "1", "agent": agent, "action": action, "verdict": verdict}
    if shape < 0.45 and run:
        return {"step": "result", "agent": agent, "run_id": run, "action_id": f"i{max(0, n - 1)}", "at": rfc3339(at)}
    return {"agent": agent, "action": action}


def live(sidecar, documents):
    """The verdict on every line that gets one, by action id."""
    verdicts = {}
    for document in documents:
        if "verdict" in document:
            status, verdict = sidecar.ask("POST", "/v1/verdicts", document)
        elif "step" in document:
            status, verdict = sidecar.ask("POST", "/v1/steps", {"agent": document["agent"], "steps": [document]})
        else:
            status, verdict = sidecar.ask("POST", "/v1/inspect", document)
        assert status in (200, 201), verdict
        if "decision" in verdict:
            verdicts[verdict["action_id"]] = verdict
    return verdicts


def replayed(tmp_path, documents, declaration):
    (tmp_path / "lines.jsonl").write_text("".join(json.dumps(one) + "\n" for one in documents))
    (tmp_path / "policy.json").write_text(json.dumps({"policies": [encode_policy(one) for one in POLICIES]}))
    (tmp_path / "declaration.json").write_text(json.dumps(declaration))
    command = [sys.executable, "-m", "kaizen_security.cli", "replay", "lines.jsonl", "--json"]
    command += ["--policy", "policy.json", "--declaration", "declaration.json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    said = [json.loads(one) for one in done.stdout.splitlines()]
    return {one["action_id"]: one for one in said[:-1]}, said[-1]["summary"]


@pytest.mark.parametrize("tools", [(), (*TOOLS, "read_file")])
def test_live_and_replay_agree_on_decision_reason_and_evidence(tmp_path, tools):
    upstream = Upstream()
    upstream.template = type(upstream.template)(
        agent="", version=1, policies=POLICIES, declaration=Declaration(tools=tools)
    )
    upstream.start()
    sidecar = Process(tmp_path / "data", api_url=upstream.url, api_key=OWN).start()
    documents = lines(seed=len(tools))
    try:
        was = live(sidecar, documents)
    finally:
        sidecar.stop()
        upstream.stop()
    now, summary = replayed(tmp_path, documents, {"tools": list(tools)})
    assert set(was) == set(now)
    for action_id, verdict in was.items():
        # What replay prints is cut to what may be copied anywhere; the verdict behind it is the same.
        verdict = {**verdict, "evidence": encode_verdict(as_printed(decode_verdict(verdict)))["evidence"]}
        for part in ("decision", "reason", "evidence", "policy_version", "at"):
            assert now[action_id].get(part) == verdict.get(part), (action_id, part)
    assert summary["actions"] == len(now) > 250
    assert summary["decisions"]["blocked"] > 10
    assert bool(summary["decisions"].get("flagged")) is bool(tools)
