"""The page of held actions: what it shows, who may answer, what is escaped, what comes live."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace

import httpx
import pytest

from kaizen_security.contract.action import Action
from kaizen_security.contract.hold import Hold, HoldAnswer, HoldState
from kaizen_security.contract.verdict import Decision, Verdict
from kaizen_security.runtime import clock
from kaizen_security.server.console.held import hold_view, left_word
from tests.unit.console.rows import NOW, UNDECLARED
from tests.unit.console.site import running

PART = {"X-Kaizen-Part": "drawer"}
COUNT = iter(range(10**6))


def hold(*, tool="pay", run="r", now=None, **more):
    now = clock.now() if now is None else now
    action = Action(tool=tool, id="c", run_id=run, agent="payer", metadata={"source": "sdk"})
    verdict = Verdict(decision=Decision.BLOCK, reason="undeclared: pay", evidence=(UNDECLARED,))
    fields = {"id": f"hold-{next(COUNT)}", "action": action, "verdict": verdict, "created_at": now}
    return Hold(**{**fields, "expires_at": now + 300, **more})


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with running(tmp_path_factory.mktemp("console")) as started:
        yield started


@pytest.fixture
def admin(site):
    with site.client() as client:
        yield client


def put(site, *holds):
    site.store.holds.put(site.organisation, "sidecar", holds, now=clock.now())
    return holds[0]


def test_a_held_action_is_shown_with_its_reason_its_findings_and_its_answers(site, admin):
    one = put(site, hold(calls=3, notes=("the model finds it benign",)))
    text = admin.get("/holds").text
    assert f'id="h-{one.id}"' in text
    for said in ("undeclared: pay", "tried 3 times", "undeclared destination", "the model finds it benign", "payer"):
        assert said in text
    for answer in HoldAnswer:
        assert f'id="h-{one.id}-{answer.value}"' in text
    assert "waiting for you</a>" in admin.get("/verdicts?agent=nobody").text


@pytest.mark.parametrize("answer", HoldAnswer)
def test_one_click_answers_and_who_did_it_stays(site, admin, answer):
    one = put(site, hold())
    told = admin.post(f"/holds/{one.id}", data={"answer": answer.value})
    assert (told.status_code, told.headers["location"]) == (303, "/holds")
    kept = site.store.holds.one(site.organisation, one.id, now=clock.now())
    assert (kept.answer, kept.answered_by) == (answer, "ana")
    found = admin.get("/holds?format=json").json()
    assert [entry["answered_by"] for entry in found["settled"] if entry["id"] == one.id] == ["ana"]
    assert one.id not in [entry["id"] for entry in found["waiting"]]


def test_what_is_over_or_unknown_is_said_above_the_list(site, admin):
    one = put(site, hold())
    assert admin.post(f"/holds/{one.id}", data={"answer": "block"}, headers=PART).status_code == 200
    again = admin.post(f"/holds/{one.id}", data={"answer": "allow_once"}, headers=PART)
    assert again.status_code == 409
    assert "it is settled already: blocked" in again.text
    assert "<html" not in again.text
    assert admin.post("/holds/nothing", data={"answer": "block"}).status_code == 404
    assert admin.post(f"/holds/{one.id}", data={"answer": "perhaps"}).status_code == 422


def test_a_viewer_sees_and_may_not_answer_and_another_site_neither(site):
    one = put(site, hold())
    with site.client(user=site.reader) as viewer:
        page = viewer.get("/holds").text
        assert f'id="h-{one.id}"' in page
        assert "data-hold" not in page
        assert viewer.post(f"/holds/{one.id}", data={"answer": "allow_once"}).status_code == 403
    with site.client() as admin:
        foreign = admin.post(
            f"/holds/{one.id}", data={"answer": "allow_once"}, headers={"Origin": "https://attacker.example"}
        )
        assert foreign.status_code == 403
    with site.client(signed_in=False) as nobody:
        assert nobody.get("/holds").status_code == 303
        assert nobody.post(f"/holds/{one.id}", data={"answer": "allow_once"}).status_code == 303
    assert site.store.holds.one(site.organisation, one.id, now=clock.now()).waiting


def test_an_action_without_a_run_is_not_offered_for_one(site, admin):
    one = put(site, hold(run=""))
    text = admin.get("/holds").text
    assert f'id="h-{one.id}-allow_once"' in text
    assert f'id="h-{one.id}-allow_run"' not in text


def test_whatever_an_agent_wrote_is_text(site, admin):
    put(site, hold(tool="<script>alert(1)</script>", notes=("<img src=x onerror=alert(2)>",)))
    text = admin.get("/holds").text
    assert "<script>alert" not in text
    assert "<img" not in text


def test_the_list_comes_live_and_only_when_it_changed(site, admin):
    events = []
    ready = threading.Event()

    def follow():
        with httpx.stream("GET", f"{site.url}/holds/live", cookies=dict(admin.cookies), timeout=20) as stream:
            for line in stream.iter_lines():
                if line.startswith("event:"):
                    events.append((line, time.monotonic()))
                    ready.set()
                if len(events) == 2:
                    return

    thread = threading.Thread(target=follow)
    thread.start()
    assert ready.wait(60)
    one = put(site, hold())
    at = time.monotonic()
    # As a sidecar does: over the API, so that who watches is told.
    admin.post(f"/holds/{one.id}", data={"answer": "block"}, headers=PART)
    thread.join(60)
    assert [name for name, _ in events] == ["event: holds", "event: holds"]
    assert events[1][1] - at < 2.0


def test_what_is_left_of_the_time_is_said_in_words():
    assert [left_word(seconds) for seconds in (-1, 0, 1, 59.9, 119, 120, 299)] == [
        "now",
        "now",
        "in 1 second",
        "in 59 seconds",
        "in 119 seconds",
        "in 2 minutes",
        "in 4 minutes",
    ]


def test_a_settled_one_says_what_came_of_it():
    one = hold(now=NOW)
    answered = replace(one, state=HoldState.RELEASED, answer=HoldAnswer.LEARN, answered_by="ada", answered_at=NOW + 5)
    view = hold_view(answered, NOW + 10)
    assert (view.said, view.by, view.at.clock) == ("Learned", "ada", "05:30:05")
    assert hold_view(replace(one, state=HoldState.EXPIRED), NOW + 400).said == "Nobody answered: blocked"
    assert json.dumps(view.facts)
