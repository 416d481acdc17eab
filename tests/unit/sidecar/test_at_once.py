"""What the sidecar answers at once: the same as it answers to all others, and nothing that would have to wait."""

from __future__ import annotations

import asyncio
import json

import pytest

from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.codec import encode_verdict
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.depth import Rung
from kaizen_security.contract.step import Request, Result
from kaizen_security.contract.verdict import Mode
from kaizen_security.sidecar.at_once import FEW, INSPECT, STEPS, AtOnce
from kaizen_security.sidecar.http import HEAVY
from kaizen_security.sidecar.identity import Identity
from kaizen_security.sidecar.run import Parts
from kaizen_security.sidecar.settings import Settings

KEY = "kz_live_" + "k" * 43
SEARCH = {"agent": "a", "action": {"tool": "search", "id": "s1", "run_id": "r"}}
REQUEST = {"step": "request", "run_id": "r", "text": "find it"}


def made(tmp_path, **more):
    parts = Parts(
        Settings(socket=tmp_path / "s", data=tmp_path / "data", port=-1, before=Mode.ENFORCE, **more), lambda: 1.7e9
    )
    declared = Declaration(tools=("search",))
    parts.inspector.configure("a", Bundle(agent="a", version=1, declaration=declared, mode=Mode.ENFORCE))
    return parts


@pytest.fixture
def parts(tmp_path):
    return made(tmp_path)


def told(parts, path, document, authorization="", *, stranger=False):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    answered = AtOnce(parts.sidecar).answer(path, body, authorization, stranger=stranger)
    if answered is None:
        return None
    status, said = answered
    assert status == 200
    return json.loads(said)


@pytest.mark.parametrize("tool", ["search", "wipe"])
def test_a_question_has_the_verdict_that_it_has_by_the_other_way(parts, tool):
    asked = {"agent": "a", "action": {"tool": tool, "id": "s1", "run_id": "r"}}
    at_once = told(parts, INSPECT, asked)
    action = parts.sidecar.decoded_actions(asked, None)
    assert at_once == json.loads(json.dumps(encode_verdict(asyncio.run(parts.sidecar._inspect(action)))))
    assert at_once["decision"] == ("allow" if tool == "search" else "block")


def test_steps_are_noted_and_heard_in_their_order(parts):
    heard = []
    parts.sidecar.witness = heard.append
    result = {"step": "result", "run_id": "r", "action_id": "s1", "content": "42"}
    assert told(parts, STEPS, {"agent": "a", "steps": [REQUEST, result]}) == {"noted": 2}
    assert [type(step) for step in heard] == [Request, Result]
    assert parts.inspector.agents.lane(("", "a")).observer.runs == 1


@pytest.mark.parametrize(
    ("path", "document"), [(INSPECT, SEARCH), (STEPS, {"agent": "a", "steps": [REQUEST]})], ids=["question", "steps"]
)
def test_a_defect_is_answered_as_it_is_by_the_other_way(parts, monkeypatch, caplog, path, document):
    def breaks(*args, **kwargs):
        raise ZeroDivisionError("of ours")

    monkeypatch.setattr(parts.inspector, "judge", breaks)
    monkeypatch.setattr(parts.inspector, "note", breaks)
    body = json.dumps(document).encode()
    at_once = AtOnce(parts.sidecar).answer(path, body, "", stranger=False)
    logged = [record.exc_info[0] for record in caplog.records if record.exc_info]
    assert (at_once, logged) == (asyncio.run(by_the_other_way(parts, path, body)), [ZeroDivisionError])
    assert at_once[0] == 500
    assert json.loads(at_once[1])["error"]["code"] == "internal"


async def by_the_other_way(parts, path, body):
    """Status and body of what all others get, over the Unix socket."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": body}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path.decode(), "query_string": b"", "headers": []}
    with pytest.raises(ZeroDivisionError):  # for the server, which writes it down
        await parts.app()({**scope, "server": ("s", None)}, receive, send)
    return sent[0]["status"], sent[1]["body"]


@pytest.mark.parametrize(
    ("path", "document"),
    [
        (b"/v1/verdicts", SEARCH),
        (b"/v1/inspect?x", SEARCH),
        (INSPECT, b"{"),
        (INSPECT, []),
        (INSPECT, {}),
        (INSPECT, {"agent": " ", "action": {"tool": "search"}}),
        (INSPECT, {"agent": "a", "action": {"tool": 7}}),
        (INSPECT, {"agent": "a", "actions": [{"tool": "search"}]}),
        (INSPECT, {**SEARCH, "more": "x" * HEAVY}),
        (STEPS, {"agent": "a", "steps": "r"}),
        (STEPS, {"agent": "a", "steps": [REQUEST] * (FEW + 1)}),
        (STEPS, {"agent": "a", "steps": [REQUEST, {"step": "action", "tool": "search"}]}),
        (STEPS, {"steps": [{**REQUEST, "agent": "a"}, {**REQUEST, "agent": "b"}]}),
    ],
)
def test_what_is_wrong_long_or_for_several_goes_the_other_way_with_nothing_done(parts, path, document):
    heard = []
    parts.sidecar.witness = heard.append
    assert told(parts, path, document) is None
    assert heard == []
    assert parts.inspector.inspected == 0


def test_an_agent_whose_first_bundle_is_still_to_come_waits_for_it_the_other_way(tmp_path):
    parts = made(tmp_path, api_key=KEY, api_url="http://127.0.0.1:1")
    assert told(parts, INSPECT, {**SEARCH, "agent": "b"}) is None
    parts.uplink.state = "unreachable"
    assert told(parts, INSPECT, {**SEARCH, "agent": "b"})["decision"] == "block"


def test_a_key_that_is_not_known_yet_is_looked_up_the_other_way(parts, monkeypatch):
    assert told(parts, INSPECT, SEARCH, f"Bearer {KEY}") is None
    known = {KEY: Identity(organisation="o", scope="sdk", agent="a", asked_at=0.0)}
    monkeypatch.setattr(parts.sidecar.identities, "remembered", known.get)
    assert told(parts, INSPECT, SEARCH, f"Bearer {KEY}")["decision"] == "allow"
    assert told(parts, INSPECT, {**SEARCH, "agent": "b"}, f"Bearer {KEY}") is None


@pytest.mark.parametrize(("stranger", "rung"), [(False, Rung.KERNEL), (True, Rung.COOPERATIVE)])
def test_another_users_process_cannot_say_that_something_else_saw_it(parts, stranger, rung):
    heard = []
    parts.sidecar.witness = heard.append
    seen = {"agent": "a", "action": {"tool": "search", "id": "s1", "metadata": {"source": "ebpf"}}}
    assert told(parts, INSPECT, seen, stranger=stranger)["decision"] == "allow"
    assert [action.rung for action in heard] == [rung]
