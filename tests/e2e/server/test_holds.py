"""Held actions at the control plane: relayed by observers, answered by administrators, fetched by the sidecar they are of."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from kaizen_security.server import passwords
from kaizen_security.store.base import Role
from tests.e2e.server.running import Caller, another_organisation, beside

COUNT = iter(range(10**6))
SECRET = "correct horse battery staple"


def instant(seconds):
    return datetime.fromtimestamp(time.time() + seconds, UTC).isoformat()


def hold(**more):
    action = {"kind": "tool_call", "tool": "pay", "run_id": "r", "id": "c", "metadata": {"arguments": {"to": SECRET}}}
    finding = {"kind": "undeclared tool", "value": "pay", "source": "declaration", "detection": "declaration"}
    return {
        "id": f"hold-{next(COUNT)}",
        "agent": "payer",
        "state": "waiting",
        "created_at": instant(0),
        "expires_at": instant(300),
        "action": action,
        "verdict": {"decision": "block", "reason": "undeclared", "evidence": [finding]},
    } | more


def relay(observer, *holds, sidecar="one"):
    answer = observer.post("/v1/holds:relay", json={"sidecar": sidecar, "holds": list(holds)})
    assert answer.status_code == 200, answer.text
    return answer.json()


def answers(observer, sidecar="one", wait=0):
    return observer.get("/v1/holds:answers", params={"sidecar": sidecar, "wait": wait}).json()["answers"]


def test_what_waits_is_listed_without_text_and_answered_and_the_answer_goes_back(person, observer):
    one = hold()
    assert relay(observer, one) == {"kept": 1, "rejected": []}
    listed = person.get("/v1/holds", params={"agent": "payer"})
    assert SECRET not in listed.text
    found = next(entry for entry in listed.json()["holds"] if entry["id"] == one["id"])
    assert (found["state"], found["agent"], found["action"]["tool"], found["calls"]) == ("waiting", "payer", "pay", 1)
    told = person.post(f"/v1/holds/{one['id']}", json={"answer": "allow_once"})
    assert told.status_code == 200
    assert (told.json()["state"], told.json()["answered_by"]) == ("released", "admin")
    [answer] = [entry for entry in answers(observer) if entry["id"] == one["id"]]
    assert (answer["answer"], answer["by"]) == ("allow_once", "admin")
    # It comes again until the sidecar says that it knows.
    assert answer in answers(observer)
    relay(observer, one | {"state": "released", "answer": "allow_once", "answered_by": "admin"})
    assert answer not in answers(observer)
    kept = person.get(f"/v1/holds/{one['id']}").json()
    assert (kept["answered_by"], kept["answered_at"]) == ("admin", answer["at"])


def test_what_a_person_is_asked_about_is_never_exchanged(person, observer):
    one = hold()
    relay(observer, one)
    shown = person.get(f"/v1/holds/{one['id']}").json()
    other = {"kind": "tool_call", "tool": "read_weather"}
    harmless = {"decision": "block", "reason": "nothing much", "evidence": []}
    swapped = one | {
        "action": other,
        "verdict": harmless,
        "created_at": instant(-60),
        "notes": ["asked twice"],
        "calls": 2,
    }
    relay(observer, swapped)
    relay(observer, swapped | {"agent": "somebody else"})
    now = person.get(f"/v1/holds/{one['id']}").json()
    assert {name: now[name] for name in ("agent", "action", "verdict", "created_at")} == {
        name: shown[name] for name in ("agent", "action", "verdict", "created_at")
    }
    assert (now["calls"], now["notes"]) == (2, ["asked twice"])
    person.post(f"/v1/holds/{one['id']}", json={"answer": "block"})
    relay(observer, swapped)
    assert person.get(f"/v1/holds/{one['id']}").json()["action"] == shown["action"]


def test_nobody_takes_away_what_a_person_is_told_or_the_time_for_an_answer(person, observer):
    one = hold() | {"notes": ["its arguments are too long to be shown"]}
    relay(observer, one)
    shown = person.get(f"/v1/holds/{one['id']}").json()
    for at in (-5, 0, 7200):
        relay(observer, one | {"notes": [f"all is well {at}"], "expires_at": instant(at)})
    relay(observer, one | {"notes": [f"and so on {n}" for n in range(100)]})
    now = person.get(f"/v1/holds/{one['id']}").json()
    assert (now["state"], now["expires_at"]) == ("waiting", shown["expires_at"])
    assert now["notes"][:2] == ["its arguments are too long to be shown", "all is well -5"]
    assert len(now["notes"]) == 32


def test_the_answer_wakes_who_waits_for_it_within_a_second(server, person, observer):
    one = hold()
    relay(observer, one, sidecar="waiting")
    heard = {}

    def fetch():
        heard["answers"] = answers(observer, "waiting", wait=20)
        heard["at"] = time.monotonic()

    def look():
        with server.call("agent", "payer") as agent:
            heard["seen"] = agent.get(f"/v1/holds/{one['id']}", params={"wait": 20}).json()

    threads = [threading.Thread(target=fetch), threading.Thread(target=look)]
    for thread in threads:
        thread.start()
    said = person.post(f"/v1/holds/{one['id']}", json={"answer": "block"})
    at = time.monotonic()
    assert said.status_code == 200
    for thread in threads:
        thread.join(20)
    assert [entry["answer"] for entry in heard["answers"]] == ["block"]
    assert heard["at"] - at < 1.0
    assert heard["seen"]["state"] == "blocked"


@pytest.mark.parametrize(
    ("scope", "agent"), [("agent", ""), ("agent", "payer"), ("observer", ""), ("observer", "payer")]
)
def test_no_api_key_ever_answers_and_least_of_all_the_agents_own(server, observer, scope, agent):
    one = hold()
    relay(observer, one)
    with server.call(scope, agent) as caller:
        refused = caller.post(f"/v1/holds/{one['id']}", json={"answer": "allow_once"})
        assert refused.status_code == 403
        assert caller.get(f"/v1/holds/{one['id']}").json()["state"] == "waiting"


def test_a_viewer_reads_and_does_not_answer(server, observer):
    one = hold()
    relay(observer, one)
    with beside(server.directory) as store:
        viewer = store.create_user(
            1, "viewer-of-holds", role=Role.VIEWER, password=passwords.hash_password("v" * 20), at=1.0
        )
        assert viewer.role is Role.VIEWER
    with Caller(server.url) as nobody:
        token = nobody.post("/v1/sessions", json={"user": "viewer-of-holds", "password": "v" * 20}).json()["token"]
    with Caller(server.url, token) as caller:
        assert caller.get("/v1/holds").status_code == 200
        assert caller.post(f"/v1/holds/{one['id']}", json={"answer": "allow_once"}).status_code == 403


def test_an_agents_key_sees_its_own_agents_holds_only_and_relays_nothing(server, observer):
    mine, other = hold(agent="mine"), hold(agent="other")
    relay(observer, mine, other)
    with server.call("agent", "mine") as agent:
        assert {entry["agent"] for entry in agent.get("/v1/holds").json()["holds"]} == {"mine"}
        assert agent.get("/v1/holds", params={"agent": "other"}).status_code == 403
        assert agent.get(f"/v1/holds/{other['id']}").status_code == 404
        assert agent.post("/v1/holds:relay", json={"sidecar": "x", "holds": []}).status_code == 403
        assert agent.get("/v1/holds:answers", params={"sidecar": "one"}).status_code == 403
    with server.call("observer", "mine") as bound:
        assert bound.post("/v1/holds:relay", json={"sidecar": "x", "holds": [hold(agent="other")]}).status_code == 403


def test_another_organisation_sees_and_answers_nothing(server, person, observer):
    other = another_organisation(server.directory, "of holds")
    one = hold()
    relay(observer, one)
    with server.call("observer", organisation=other) as stranger:
        assert stranger.get("/v1/holds").json() == {"holds": []}
        assert stranger.get(f"/v1/holds/{one['id']}").status_code == 404
        relay(stranger, one | {"state": "blocked", "answer": "block"})
        assert answers(stranger) == []
    assert person.get(f"/v1/holds/{one['id']}").json()["state"] == "waiting"


def test_another_sidecar_neither_hears_nor_changes_it(person, observer):
    one = hold()
    relay(observer, one, sidecar="first")
    relay(observer, one | {"state": "released", "answer": "allow_once"}, sidecar="second")
    assert person.get(f"/v1/holds/{one['id']}").json()["state"] == "waiting"
    person.post(f"/v1/holds/{one['id']}", json={"answer": "block"})
    assert answers(observer, "second") == []


def test_it_is_answered_once_and_not_after_its_time(person, observer):
    one, late, lone = hold(), hold(expires_at=instant(-1)), hold(action={"tool": "pay"})
    relay(observer, one, late, lone)
    assert person.post(f"/v1/holds/{one['id']}", json={"answer": "block"}).status_code == 200
    again = person.post(f"/v1/holds/{one['id']}", json={"answer": "allow_once"})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "conflict")
    assert person.get(f"/v1/holds/{late['id']}", params={"wait": 20}).json()["state"] == "expired"
    assert person.post(f"/v1/holds/{late['id']}", json={"answer": "allow_once"}).status_code == 409
    refused = person.post(f"/v1/holds/{lone['id']}", json={"answer": "allow_run"})
    assert (refused.status_code, refused.json()["error"]["field"]) == (422, "answer")
    assert person.post(f"/v1/holds/{lone['id']}", json={"answer": "perhaps"}).status_code == 422
    assert person.post("/v1/holds/nothing", json={"answer": "block"}).status_code == 404


def test_what_its_sidecar_settled_itself_says_so(person, observer):
    one = hold()
    relay(observer, one)
    settled = {"state": "blocked", "answer": "block", "answered_by": "ops", "answered_at": instant(0)}
    relay(observer, one | settled)
    kept = person.get(f"/v1/holds/{one['id']}").json()
    assert (kept["state"], kept["answered_by"]) == ("blocked", "ops (at the sidecar)")
    assert one["id"] not in [entry["id"] for entry in answers(observer)]


def test_what_was_learned_is_declared_from_now_on(person, observer, call):
    call.post("/v1/agents/learner/manifest", json={"tools": ["search"]})
    one = hold(agent="learner")
    relay(observer, one)
    assert person.post(f"/v1/holds/{one['id']}", json={"answer": "learn"}).status_code == 200
    [profile] = [found for found in person.get("/v1/agents/profiles").json()["profiles"] if found["agent"] == "learner"]
    assert profile["declaration"]["tools"] == ["search", "pay"]


def test_of_several_that_are_learned_at_once_all_are_declared(person, observer, call):
    call.post("/v1/agents/learners/manifest", json={"tools": ["search"]})
    several = [hold(agent="learners") for _ in range(8)]
    for number, one in enumerate(several):
        one["action"]["tool"] = f"pay{number}"
    assert relay(observer, *several)["kept"] == 8
    with ThreadPoolExecutor(8) as all_:
        answers_ = all_.map(lambda one: person.post(f"/v1/holds/{one['id']}", json={"answer": "learn"}), several)
        assert {answer.status_code for answer in answers_} == {200}
    profiles = person.get("/v1/agents/profiles").json()["profiles"]
    [profile] = [found for found in profiles if found["agent"] == "learners"]
    assert sorted(profile["declaration"]["tools"]) == [*(f"pay{number}" for number in range(8)), "search"]


def test_one_that_cannot_be_taken_never_loses_the_others(observer, person):
    good = hold()
    said = relay(observer, {"id": "x"}, good, hold(id="y" * 65), hold(expires_at=None, created_at=None))
    assert said["kept"] == 1
    assert [entry["index"] for entry in said["rejected"]] == [0, 2, 3]
    assert person.get(f"/v1/holds/{good['id']}").status_code == 200


def test_holds_go_with_their_agent(observer, person):
    one = hold(agent="leaving")
    relay(observer, one)
    assert person.delete("/v1/agents/leaving").status_code == 200
    assert person.get(f"/v1/holds/{one['id']}").status_code == 404


def test_the_share_of_held_calls_can_be_read_off_the_metrics(server, observer, person):
    held = {"decision": "block", "reason": "undeclared", "evidence": [], "notes": ["held: waits for a person"]}
    before = person.get("/metrics").text
    action = {"kind": "tool_call", "tool": "pay", "id": f"held-{time.time_ns()}"}
    answer = observer.post("/v1/verdicts", json={"agent": "payer", "action": action, "verdict": held})
    assert answer.status_code == 201
    after = person.get("/metrics").text
    counts = [
        float(line.split()[1])
        for text in (before, after)
        for line in text.splitlines()
        if line.startswith("kaizen_held_verdicts_total")
    ]
    assert counts[1] - counts[0] == 1
    assert 'kaizen_holds{state="waiting"}' in after
    assert 'kaizen_hold_seconds_bucket{le="1.0"}' in after
