"""What somebody tries who has an agent's key, or the sidecar's socket: docs/explanation/attacks-on-kaizen.md lists it all."""

from __future__ import annotations

import socket
import sqlite3
from contextlib import ExitStack

import httpx
import pytest

from kaizen_security.store.base import MAX_AGENTS
from tests.e2e.server.running import Running, another_organisation
from tests.e2e.sidecar_process import Process, until

EVIL = "https://evil.example/"
GOOD = "https://good.example/"


@pytest.fixture(scope="module", autouse=True)
def policy(person):
    rules = {"domains": ["evil.example"]}
    assert person.post("/v1/policies", json={"mode": "blocklist", "name": "p", "rules": rules}).status_code == 200


@pytest.fixture(scope="module")
def sidecar(server, tmp_path_factory):
    one = Process(tmp_path_factory.mktemp("sidecar"), api_url=server.url, api_key=server.key("observer")).start()
    yield one
    status, said = one.stop()
    assert (status, "Traceback" in said) == (0, False), said


@pytest.fixture(params=["sidecar", "directly"])
def act(request, server, sidecar, call):
    """Do something under an id of one's choice, and say so on one of the two ways."""

    def done(agent, id_, target):
        document = {"agent": agent, "action": {"tool": "send", "target": target, "id": id_}}
        if request.param == "sidecar":
            return sidecar.ask("POST", "/v1/inspect", document)[1]["decision"]
        return call.post("/v1/verdicts", json=document).json()["decision"]

    done.way = request.param
    return done


def rows(call, agent):
    return call.get("/v1/verdicts", params={"agent": agent, "limit": 100}).json()["verdicts"]


def counts(call, agent):
    [found] = [one for one in call.get("/v1/agents/profiles").json()["profiles"] if one["agent"] == agent]
    return found["actions"], found["flagged"], found["blocked"]


def test_an_id_that_was_used_for_something_harmless_hides_nothing(act, call):
    agent = f"reuser-{act.way}"
    assert act(agent, "same", GOOD) == "allow"
    assert act(agent, "same", EVIL) == "block"
    assert act(agent, "same", EVIL) == "block"
    assert act(agent, "after", GOOD) == "allow"
    until(lambda: len(rows(call, agent)) >= 3, "the rows")
    found = [(row["action"]["target"], row["decision"]) for row in rows(call, agent)]
    assert found == [(GOOD, "allow"), (EVIL, "block"), (GOOD, "allow")]
    assert counts(call, agent) == (3, 1, 1)


def test_no_id_makes_an_action_a_remark_about_another(act, call):
    agent = f"remark-{act.way}"
    for id_ in ("one", "two:judged", "three:answered", "four:judged:answered"):
        assert act(agent, id_, EVIL) == "block"
    until(lambda: len(rows(call, agent)) == 4, "the rows")
    assert counts(call, agent) == (4, 4, 4)
    assert not [row for row in rows(call, agent) if row["action_id"].endswith(("judged", "answered"))]


def test_names_that_somebody_makes_up_keep_back_nobody_elses_reports(server, person):
    other = another_organisation(server.directory, "full")
    with server.call("observer", organisation=other) as observer:

        def batch(*agents):
            verdict = {"decision": "allow", "reason": "ok", "evidence": []}
            reports = [{"agent": agent, "action": {"tool": "t"}, "verdict": verdict} for agent in agents]
            return observer.post("/v1/verdicts:batch", json={"reports": reports})

        assert batch("known").json()["accepted"] == 1
        fill(server.directory / "kaizen.db", other, MAX_AGENTS - 1)
        answer = batch("made-up", "known", "another", "known")
        assert answer.status_code == 200
        assert answer.json()["accepted"] == 2
        assert [(one["index"], one["field"]) for one in answer.json()["rejected"]] == [
            (0, "reports[0].agent"),
            (2, "reports[2].agent"),
        ]
        assert len(rows(observer, "known")) == 3


def fill(file, organisation, count):
    """Agents of an organisation, as many, without judging something of each."""
    with sqlite3.connect(file) as connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(agents)")]
        like = dict(zip(names, connection.execute("SELECT * FROM agents LIMIT 1").fetchone(), strict=True))
        [first] = connection.execute("SELECT max(id) + 1 FROM agents").fetchone()
        made = [{**like, "id": first + i, "organisation_id": organisation, "name": f"x{i}"} for i in range(count)]
        marks = ",".join(f":{name}" for name in names)
        connection.executemany(f"INSERT INTO agents ({','.join(names)}) VALUES ({marks})", made)
    connection.close()


def test_where_there_are_few_descriptors_silent_connections_keep_nobody_out(tmp_path):
    site = Running(tmp_path, files=330)
    try:
        with ExitStack() as silent:
            for _ in range(400):
                silent.enter_context(socket.create_connection(("127.0.0.1", site.port), timeout=20))
            transport = httpx.HTTPTransport(local_address="127.0.0.9")
            with httpx.Client(transport=transport, trust_env=False, timeout=5) as other:
                assert other.get(f"{site.url}/healthz").status_code == 200
    finally:
        site.kill()
