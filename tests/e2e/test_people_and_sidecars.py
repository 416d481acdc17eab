"""What a person says in the console reaches whoever gives verdicts: sidecar, client and proxy, also after restarts and outages."""

from __future__ import annotations

import os
import signal
import time

import pytest

from kaizen_security import Kaizen
from kaizen_security.egress.supply import ControlPlane
from tests.e2e.server.running import Running
from tests.e2e.sidecar_process import Process, until

NOTE = "not flagged, since a person called this a false positive: undeclared: this agent used a tool it never declared (upload)."


@pytest.fixture(autouse=True)
def own_environment(tmp_path, monkeypatch):
    for name in list(os.environ):
        if name.startswith("KAIZEN_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("KAIZEN_DATA", str(tmp_path / "data"))


@pytest.fixture
def server(tmp_path):
    running = Running(tmp_path / "server")
    yield running
    running.stop()


@pytest.fixture
def person(server):
    with server.person() as person:
        yield person


@pytest.fixture
def sidecar(tmp_path, server):
    (tmp_path / "sidecar").mkdir()
    one = Process(tmp_path / "sidecar", api_url=server.url, api_key=server.key("observer")).start()
    yield one
    one.stop()


def rows(person, agent, **query):
    return person.get("/v1/verdicts", params={"agent": agent, **query}).json()["verdicts"]


def say(person, row, status):
    answer = person.post(f"/v1/verdicts/{row['id']}/status", json={"status": status})
    assert answer.status_code == 200, answer.text


def test_a_false_positive_is_not_flagged_by_the_sidecar_until_it_is_reopened(server, person, sidecar):
    assert sidecar.ask("POST", "/v1/agents/a/manifest", {"tools": ["search"]})[0] == 200
    flagged = until(
        lambda: (said := sidecar.inspect("a", tool="upload", target="x.example"))["flagged"] and said, "it flags"
    )
    assert flagged["reason"].startswith("undeclared: this agent used a tool it never declared (upload).")
    [row, *_] = until(lambda: rows(person, "a", flagged="true"), "the flag arrives")
    say(person, row, "false_positive")
    settled = until(
        lambda: not (said := sidecar.inspect("a", tool="upload", target="x.example"))["flagged"] and said,
        "it is suppressed",
    )
    assert (settled["decision"], settled["reason"], settled["evidence"]) == ("allow", "no policy matched", [])
    assert settled["notes"][-1].startswith(NOTE)
    # Exactly this: neither another tool, nor the same one elsewhere, nor another agent's.
    assert sidecar.inspect("a", tool="delete", target="x.example")["flagged"]
    assert sidecar.inspect("a", tool="upload", target="y.example")["flagged"]
    assert sidecar.ask("POST", "/v1/agents/b/manifest", {"tools": ["search"]})[0] == 200
    until(lambda: sidecar.inspect("b", tool="upload", target="x.example")["flagged"], "another agent's is flagged")
    # It holds over a kill and while the control plane is down, and is undone when the row is opened again.
    sidecar.stop(signal.SIGKILL)
    server.process.send_signal(signal.SIGSTOP)
    try:
        sidecar.start()
        assert not sidecar.inspect("a", tool="upload", target="x.example")["flagged"]
    finally:
        server.process.send_signal(signal.SIGCONT)
    say(person, row, "open")
    until(lambda: sidecar.inspect("a", tool="upload", target="x.example")["flagged"], "it is flagged again")


def test_what_a_person_folds_and_forgets_reaches_the_sidecars_baseline_once(server, person, sidecar):
    def learned():
        status, document = sidecar.ask("GET", "/v1/agents/a/profile")
        assert status == 200
        return {one["value"]: one["count"] for one in document["profile"]["learned"]["tool"]}

    def seen():
        return sidecar.ask("GET", "/v1/agents/a/profile")[1]["profile"]["seen"]

    assert sidecar.ask("POST", "/v1/agents/a/manifest", {"tools": ["search"]})[0] == 200
    until(lambda: sidecar.inspect("a", tool="upload")["flagged"], "it flags")
    [row, *_] = until(lambda: rows(person, "a", flagged="true"), "the flag arrives")
    assert learned() == {}
    assert person.post(f"/v1/verdicts/{row['id']}/learn").status_code == 200
    until(lambda: learned() == {"upload": 1}, "it is folded in")
    # The declaration was extended, too, so the next one is in order.
    until(lambda: not sidecar.inspect("a", tool="upload")["flagged"], "it is declared")
    assert sidecar.stop()[0] == 0
    sidecar.start()
    assert learned()["upload"] == 1
    folded_before = seen()
    assert person.post(f"/v1/verdicts/{row['id']}/learn").status_code == 200
    until(lambda: seen() == folded_before + 1, "a second fold counts once more")
    assert person.post("/v1/agents/a/reset").status_code == 200
    until(lambda: seen() == 0, "it is forgotten")
    sidecar.stop(signal.SIGKILL)
    sidecar.start()
    # It may have been killed before the news were on disk: then they come again.
    until(lambda: seen() == 0, "it stays forgotten")
    # What was folded before the reset does not come back; what is folded after it does.
    assert person.post(f"/v1/verdicts/{row['id']}/learn").status_code == 200
    until(lambda: learned() == {"upload": 1}, "it is folded into the new epoch")


def test_an_act_that_was_learned_in_the_console_is_not_flagged_for_its_values_again(
    tmp_path, server, person, sidecar, monkeypatch
):
    monkeypatch.setenv("KAIZEN_SIDECAR", f"unix://{tmp_path}/sidecar/s.sock")
    heard = []
    with Kaizen(
        server.key(), server.url, agent="ops", on_verdict=lambda verdict, action: heard.append(verdict)
    ) as kaizen:
        pods = kaizen.guard(lambda service: f"{service}-1 Running, {service}-2 Running", tool="list_pods")
        restart = kaizen.guard(lambda pod: "restarted", tool="restart_pod")

        def restarts(service):
            with kaizen.run(f"Is {service} well?"):
                pods(service=service)
                heard.clear()
                restart(pod=f"{service}-1")
            assert kaizen.flush(20)
            return [finding.detection for finding in until(lambda: heard[-1:], "its verdict")[0].evidence]

        for _ in range(12):
            with kaizen.run("Is web well?"):
                pods(service="web")
        assert kaizen.flush(20)
        assert restarts("mail") == ["provenance"]
        [row] = until(lambda: rows(person, "ops", flagged="true"), "the flag arrives")
        assert person.post(f"/v1/verdicts/{row['id']}/learn").status_code == 200
        until(lambda: restarts("mail") == [], "it is learned")


def test_a_client_without_a_sidecar_suppresses_too_also_when_it_enforces(server, person):
    key = server.key()
    with Kaizen(key, server.url, agent="alone", mode="enforce") as kaizen:
        assert kaizen.declare(tools=["search"])
        assert kaizen.inspect(tool="upload").blocked
        assert kaizen.flush(20)
        say(person, rows(person, "alone", decision="block")[0], "false_positive")
        until(lambda: kaizen.inspect(tool="upload").allowed, "it is suppressed")
        assert kaizen.inspect(tool="upload").notes == (NOTE,)
        assert kaizen.inspect(tool="upload", target="x.example:443").blocked
    with Kaizen(
        key,
        server.url,
        agent="alone",
        mode="enforce",
        policies=[{"mode": "blocklist", "rules": {"skill_patterns": ["upload"]}}],
    ) as kaizen:
        # A policy's deny is none of its business.
        assert kaizen.inspect(tool="upload").reason == "blocked by policy: malicious skill pattern"


def test_the_proxy_suppresses_a_destination_that_was_never_declared(server, person):
    key = server.key()
    call = server.call()
    call.post("/v1/agents/web/manifest", json={"destinations": ["api.example"]})
    upstream = ControlPlane(server.url, key, strict=True, clock=time.time)
    rules = upstream.fetch("web", None, 0).rules
    assert rules.undeclared("files.example:443").code == "undeclared"
    said = rules.undeclared("files.example:443")
    report = {
        "agent": "web",
        "action": {"kind": "connect", "target": "files.example:443", "metadata": {"source": "egress"}},
        "verdict": {
            "decision": "block",
            "reason": said.reason,
            "evidence": [
                {"kind": one.kind, "value": one.value, "source": one.source, "detection": one.detection}
                for one in said.evidence
            ],
        },
    }
    assert call.post("/v1/verdicts", json=report).status_code in (200, 201)
    say(person, rows(person, "web", decision="block")[0], "false_positive")
    rules = upstream.fetch("web", None, 0).rules
    assert rules.undeclared("files.example:443") is None
    assert rules.undeclared("files.example:8443") is None
    assert rules.undeclared("other.example:443").code == "undeclared"
    call.close()
    upstream._connection.close()


def test_what_a_sidecar_has_learned_is_shown_where_people_look(server, person, sidecar):
    for _ in range(3):
        verdict = sidecar.inspect("taught", tool="search", target="https://api.example/files/offer for Bob.txt")
        done = {"step": "result", "run_id": "", "action_id": verdict["action_id"], "content": "ok"}
        assert sidecar.ask("POST", "/v1/steps", {"agent": "taught", "steps": [done]})[0] == 200
    until(lambda: rows(person, "taught"), "the agent is known")
    # It says so as it ends, and every minute.
    sidecar.stop()
    [told] = person.get("/v1/agents/taught/profile").json()["sidecars"]
    assert told["profile"]["learned"]["tool"] == [{"value": "search", "count": told["profile"]["seen"]}]
    assert "Bob" not in str(told)
    with server.call("agent") as agent:
        answer = agent.post("/v1/agents/taught/profile", json={"sidecar": "me", "profile": {"seen": 10**9}})
    assert answer.status_code == 403
