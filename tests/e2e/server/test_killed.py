"""A server that is killed or restarted: nothing that it acknowledged is missing, and what agents normally do is still known."""

from __future__ import annotations

import itertools
import json
import threading
import time

import httpx
import pytest

from tests.e2e.server.running import Running, report


def burst(url, token, worker, acknowledged, stop):
    with httpx.Client(
        base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=20, trust_env=False
    ) as client:
        for i in itertools.count():
            documents = [{"agent": f"w{worker}", **report(id=f"{worker}-{i}-{j}")} for j in range(5)]
            try:
                if i % 2:
                    answer = client.post("/v1/verdicts:batch", json={"reports": documents})
                    ids = answer.json()["ids"]
                else:
                    answer = client.post("/v1/verdicts", json=documents[0])
                    ids = [answer.json()["id"]]
            except (httpx.HTTPError, json.JSONDecodeError):
                return
            if not answer.is_success or stop.is_set():
                return
            acknowledged += ids


@pytest.mark.slow
@pytest.mark.parametrize("scope", ["agent", "observer"])
def test_nothing_acknowledged_is_missing_after_a_kill_under_load(tmp_path, scope):
    acknowledged: list[str] = []
    for turn in range(4):
        running = Running(tmp_path)
        token = running.key(scope)
        stop = threading.Event()
        workers = [
            threading.Thread(target=burst, args=(running.url, token, f"{turn}{n}", acknowledged, stop))
            for n in range(6)
        ]
        before = len(acknowledged)
        for worker in workers:
            worker.start()
        until = time.monotonic() + 20
        while len(acknowledged) < before + 100 * (turn + 1):
            assert time.monotonic() < until
        running.kill()
        stop.set()
        for worker in workers:
            worker.join(30)
    running = Running(tmp_path)
    found: set[str] = set()
    with running.call() as call:
        before_id = ""
        while rows := call.get("/v1/verdicts", params={"limit": 1000, "before": before_id}).json()["verdicts"]:
            found |= {row["id"] for row in rows}
            before_id = rows[-1]["id"]
    assert running.stop()[0] == 0
    assert len(acknowledged) > 1000
    assert set(acknowledged) <= found


def test_what_an_agent_normally_does_survives_a_restart(tmp_path):
    running = Running(tmp_path)
    token = running.key()
    with running.call() as call:
        for i in range(130):
            call.post(
                "/v1/verdicts", json={"agent": "steady", **report("issue_refund", "api.stripe.com:443", id=f"{i}")}
            )
        learned = call.get("/v1/agents/steady/profile").json()["profile"]
        assert learned["seen"] == 130
    assert running.stop()[0] == 0
    running = Running(tmp_path)
    assert running.key() != token
    with running.call() as call:
        assert call.get("/v1/agents/steady/profile").json()["profile"]["learned"] == learned["learned"]
        usual = call.post(
            "/v1/verdicts", json={"agent": "steady", **report("issue_refund", "api.stripe.com:443")}
        ).json()
        assert usual["flagged"] is False
        odd = call.post("/v1/verdicts", json={"agent": "steady", **report("wire_money", "api.stripe.com:443")}).json()
        assert odd["reason"].startswith("behavioral anomaly: this agent did a tool it has never used (wire_money).")
    assert running.stop()[0] == 0
