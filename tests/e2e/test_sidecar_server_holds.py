"""Held actions between a sidecar and a control plane: relayed, answered there, gone on with here; and either of them killed."""

from __future__ import annotations

import json
import threading
import time

import pytest

from kaizen_security import Kaizen
from tests.e2e.server.running import Running
from tests.e2e.sidecar_process import sidecars, until

SECRET = "correct horse battery staple"


@pytest.fixture
def server(tmp_path):
    running = Running(tmp_path / "server")
    yield running
    if running.process.poll() is None:
        running.stop()


@pytest.fixture
def person(server):
    with server.person() as caller:
        caller.post("/v1/agents/a/manifest", json={"tools": ["search"]})
        caller.post("/v1/agents/a/settings", json={"mode": "enforce"})
        yield caller


@pytest.fixture
def start(tmp_path, server, person):
    key = server.key("observer")
    with sidecars() as started:
        yield lambda *more: started(tmp_path / "sidecar", api_url=server.url, api_key=key, more=more)


@pytest.fixture
def sidecar(start):
    return start()


@pytest.fixture
def client(sidecar, tmp_path):
    made = Kaizen(agent="a", sidecar=f"unix://{sidecar.socket}", hold_seconds=60.0, data=str(tmp_path / "client"))
    yield made
    made.close()


class Call(threading.Thread):
    """A client's call in a thread of its own, and when its verdict came."""

    def __init__(self, client, to=SECRET):
        super().__init__()
        self.client, self.to = client, to
        self.start()

    def run(self):
        with self.client.run("pay it"):
            self.verdict = self.client.inspect(tool="pay", arguments={"to": self.to})
        self.at = time.monotonic()


def waiting(person):
    return person.get("/v1/holds").json()["holds"]


def test_a_call_that_is_held_here_is_answered_there_and_goes_on_within_about_a_second(client, person):
    call = Call(client)
    [hold] = until(lambda: waiting(person), "the hold at the control plane")
    assert SECRET not in json.dumps(hold)
    assert hold["action"]["tool"] == "pay"
    said = person.post(f"/v1/holds/{hold['id']}", json={"answer": "allow_once"})
    at = time.monotonic()
    assert said.status_code == 200
    call.join(30)
    assert call.verdict.allowed
    assert call.at - at < 1.5
    until(lambda: person.get("/v1/holds?state=released").json()["holds"], "the settled hold")
    rows = until(lambda: len(found := person.get("/v1/verdicts").json()["verdicts"]) >= 2 and found, "both rows")
    assert [(row["decision"], row["notes"][-1]) for row in rows] == [
        ("allow", "released once by a person"),
        ("block", "held: waits for a person"),
    ]
    assert rows[0]["action_id"] == rows[1]["action_id"] + ":answered"
    [agent] = [one for one in person.get("/v1/agents/profiles").json()["profiles"] if one["agent"] == "a"]
    assert agent["actions"] == 1


def test_what_was_learned_there_is_declared_here_and_not_asked_again(client, sidecar, person):
    call = Call(client)
    [hold] = until(lambda: waiting(person), "the hold")
    person.post(f"/v1/holds/{hold['id']}", json={"answer": "learn"})
    call.join(30)
    assert call.verdict.allowed
    other = {"tool": "pay", "metadata": {"arguments": {"to": "somebody else"}}}
    until(lambda: sidecar.inspect("a", **other)["decision"] == "allow", "the new declaration")


def test_a_policy_that_comes_while_it_waits_denies_it_at_once_and_withdraws_the_question(client, sidecar, person):
    call = Call(client)
    [hold] = until(lambda: waiting(person), "the hold")
    person.post("/v1/org-policy", json={"mode": "blocklist", "tools": ["pay"]})
    probe = {"tool": "pay", "metadata": {"arguments": {"to": "probe"}}}
    until(lambda: sidecar.inspect("a", **probe)["reason"].startswith("blocked by policy"), "the policy in force")
    at = time.monotonic()
    call.join(30)
    # It need not wait for an answer any more.
    assert call.at - at < 2.0
    assert call.verdict.reason == "blocked by policy: malicious skill pattern"
    until(lambda: not [one for one in waiting(person) if one["id"] == hold["id"]], "the question withdrawn")


def test_while_the_control_plane_is_gone_it_is_answered_at_the_sidecar_and_said_there_later(
    client, sidecar, server, person, tmp_path
):
    call = Call(client)
    [hold] = until(lambda: waiting(person), "the hold")
    server.kill()
    key = (sidecar.data / "operator.secret").read_text().strip()
    assert sidecar.ask("POST", f"/v1/holds/{hold['id']}", {"answer": "allow_once", "by": "ada"}, key=key)[0] == 200
    call.join(30)
    assert call.verdict.allowed
    port = str(server.port)
    again = Running(tmp_path / "server", "--port", port)
    try:
        with again.call() as reader:
            found = until(
                lambda: (one := reader.get(f"/v1/holds/{hold['id']}").json())["state"] == "released" and one,
                "the answer at the control plane",
                patience=40.0,
            )
        assert found["answered_by"] == "ada (at the sidecar)"
    finally:
        again.stop()


def test_a_sidecar_that_was_killed_hears_the_answer_when_it_is_back(client, sidecar, start, person):
    call = Call(client)
    [hold] = until(lambda: waiting(person), "the hold")
    sidecar.process.kill()
    sidecar.process.wait()
    person.post(f"/v1/holds/{hold['id']}", json={"answer": "allow_once"})
    start()
    call.join(40)
    assert call.verdict.allowed


def test_nobody_answers_anywhere_and_it_is_blocked_here_and_expired_there(start, person, tmp_path):
    sidecar = start("--hold-seconds", "2")
    with Kaizen(agent="a", sidecar=f"unix://{sidecar.socket}", data=str(tmp_path / "client")) as client:
        call = Call(client)
        [hold] = until(lambda: waiting(person), "the hold")
        call.join(30)
    assert call.verdict.blocked
    assert call.verdict.pending is None
    until(lambda: person.get(f"/v1/holds/{hold['id']}").json()["state"] == "expired", "the end of the hold")
