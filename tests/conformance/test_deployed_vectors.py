"""Requests of deployed clients, byte for byte on the wire, against our control plane: ``spec/vectors/deployed.json``."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.e2e.server.running import Running, check_answer

REQUESTS = json.loads((Path(__file__).parents[2] / "spec/vectors/deployed.json").read_text())["requests"]
ROW = {
    "id",
    "created_at",
    "agent",
    "source",
    "rung",
    "action",
    "decision",
    "reason",
    "evidence",
    "confidence",
    "status",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Running(tmp_path_factory.mktemp("server") / "data")
    yield running
    status, rest = running.stop()
    assert status == 0, rest


@pytest.fixture(scope="module")
def send(server):
    """Sends a vector with a real key; gives the answer's document."""
    bearer = f"Bearer {server.key()}"

    def sent(vector):
        body = None if vector["body"] is None else json.dumps(vector["body"]).encode()
        headers = {**vector["headers"], "authorization": bearer}
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        try:
            connection.request(vector["method"], vector["path"], body, headers)
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        assert answer.status in (200, 201), content
        assert answer.getheader("Content-Encoding") is None
        path = urlsplit(vector["path"]).path
        check_answer(vector["method"], path, answer.status, {"content-type": answer.getheader("Content-Type")}, content)
        return json.loads(content)

    return sent


def of(method, path):
    """The vectors of one endpoint."""
    return pytest.mark.parametrize(
        "vector",
        [one for one in REQUESTS if one["method"] == method and urlsplit(one["path"]).path.endswith(path)],
        ids=lambda vector: vector["id"],
    )


@of("POST", "/v1/verdicts")
def test_a_report_is_answered_with_our_verdict_and_becomes_a_row(server, send, vector):
    document = vector["body"]
    answer = send(vector)
    assert answer["decision"] in ("allow", "block")
    assert isinstance(answer["reason"], str)
    assert isinstance(answer["evidence"], list)
    said = document["action"]
    with server.call() as call:
        rows = call.get("/v1/verdicts", params={"agent": document["agent"], "limit": 50}).json()["verdicts"]
    claim = {key: document["verdict"][key] for key in ("decision", "reason", "evidence")}
    matching = [
        row
        for row in rows
        if {key: row[key] for key in claim} == claim
        and (row["action"]["tool"] or "") == (said.get("tool") or "")
        and row["action"]["kind"] == said.get("kind", "tool_call")
    ]
    assert matching
    assert {row["source"] for row in matching} == {(said.get("metadata") or {}).get("source", "sdk")}
    assert all(set(row) >= ROW for row in rows)


@of("GET", "/v1/policy")
def test_policy_is_a_list_in_legal_form(send, vector):
    assert send(vector) == {"policies": []}


@of("POST", "/manifest")
def test_a_manifest_declares_for_the_agent_of_the_path(server, send, vector):
    agent = vector["path"].removeprefix("/v1/agents/").removesuffix("/manifest")
    answer = send(vector)
    assert answer["agent"] == agent
    assert answer["declaration"]["tools"] == vector["body"]["tools"]
    assert answer["declaration"]["destinations"] == vector["body"]["destinations"]


@of("GET", "/v1/verdicts")
def test_the_rows_are_read_with_an_api_key(send, vector):
    [agent] = parse_qs(urlsplit(vector["path"]).query)["agent"]
    rows = send(vector)["verdicts"]
    assert all(set(row) >= ROW and row["agent"] == agent for row in rows)


@of("POST", "/v1/score")
def test_a_score_has_decision_reason_and_confidence(send, vector):
    answer = send(vector)
    assert set(answer) >= {"decision", "reason", "confidence"}


def test_every_vector_is_replayed_and_none_holds_a_key():
    ends = ("/v1/verdicts", "/v1/policy", "/manifest", "/v1/score")
    assert [one["id"] for one in REQUESTS if not urlsplit(one["path"]).path.endswith(ends)] == []
    assert {one["headers"]["authorization"] for one in REQUESTS} == {"Bearer kz_live_" + "0" * 43}
    assert len({one["id"] for one in REQUESTS}) == len(REQUESTS)
