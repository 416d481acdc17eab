"""Held actions at a sidecar that stands alone: who sees, who answers, who waits, and what a kill leaves."""

from __future__ import annotations

import json
import stat
import threading
import time

import pytest

from tests.e2e.sidecar_process import sidecars
from tests.e2e.sidecar_upstream import AGENT, BOUND, OWN, Upstream

SECRET = "correct horse battery staple"


@pytest.fixture
def start(tmp_path):
    """Makes sidecars that enforce, over one data directory; whatever is left of them is killed at the end."""
    with sidecars() as started:
        yield lambda *more, **settings: started(
            tmp_path / "data", more=("--before-bundle", "enforce", *more), **settings
        )


@pytest.fixture
def sidecar(start):
    one = start()
    assert one.ask("POST", "/v1/agents/a/manifest", {"tools": ["search"]})[0] == 202
    return one


def operator(sidecar):
    return (sidecar.data / "operator.secret").read_text().strip()


def pay(sidecar, n=1, **more):
    metadata = {"arguments": {"to": SECRET}}
    return sidecar.inspect(**{"tool": "pay", "id": f"c{n}", "run_id": "r", "metadata": metadata} | more)


def held(sidecar, **more):
    document = pay(sidecar, **more)
    assert document["decision"] == "block"
    return document["pending"]["id"]


def say(sidecar, hold, answer, **more):
    return sidecar.ask("POST", f"/v1/holds/{hold}", {"answer": answer}, key=operator(sidecar), **more)


def test_a_declared_tool_runs_and_an_undeclared_one_is_held(sidecar):
    assert sidecar.inspect(tool="search", id="s")["decision"] == "allow"
    document = pay(sidecar)
    assert document["decision"] == "block"
    assert set(document["pending"]) == {"id", "expires_at"}
    assert document["reason"] == "undeclared: this agent used a tool it never declared (pay)."
    assert sidecar.health()["holds"] == {
        "waiting": 1,
        "placed": 1,
        "inspected": 2,
        "share_held": 0.5,
        "not_kept": 0,
    }


def test_the_operator_sees_the_arguments_and_the_agents_see_none_of_them(sidecar):
    hold = held(sidecar)
    status, shown = sidecar.ask("GET", "/v1/holds", key=operator(sidecar))
    assert status == 200
    assert shown["holds"][0]["action"]["metadata"]["arguments"] == {"to": SECRET}
    for path in ("/v1/holds", f"/v1/holds/{hold}"):
        status, shown = sidecar.ask("GET", path)
        assert status == 200
        assert SECRET not in json.dumps(shown)
    assert shown["agent"] == "a"
    assert (shown["state"], shown["calls"], shown["answer"]) == ("waiting", 1, None)


def test_only_who_can_read_the_operators_secret_may_answer(sidecar):
    hold = held(sidecar)
    assert stat.S_IMODE((sidecar.data / "operator.secret").stat().st_mode) == 0o600
    for loopback, key, expected in ((False, "", 403), (True, "", 401), (True, "kz_live_" + "x" * 32, 503)):
        status, said = sidecar.ask("POST", f"/v1/holds/{hold}", {"answer": "allow_once"}, key=key, loopback=loopback)
        assert status == expected, said
    assert pay(sidecar)["pending"]["id"] == hold


def test_an_agents_own_key_never_answers_and_sees_its_own_holds_only(start):
    upstream = Upstream().start()
    try:
        sidecar = start(api_url=upstream.url, api_key=OWN)
        mine = sidecar.ask("POST", "/v1/inspect", {"agent": "a", "action": {"tool": "x"}})[1]
        assert mine["decision"] in ("allow", "block")
        for key in (AGENT, BOUND, OWN):
            status, said = sidecar.ask("POST", "/v1/holds/h", {"answer": "allow_once"}, key=key, loopback=True)
            assert (status, said["error"]["code"]) == (403, "forbidden")
        status, said = sidecar.ask("GET", "/v1/holds?agent=somebody-else", key=BOUND, loopback=True)
        assert status == 403
    finally:
        upstream.stop()


@pytest.mark.parametrize("answer", ["allow_once", "allow_run", "learn"])
def test_a_waiting_call_goes_on_within_a_second_of_the_answer(sidecar, answer):
    hold = held(sidecar)
    seen = {}

    def wait():
        seen["answered"] = sidecar.ask("GET", f"/v1/holds/{hold}?wait=20")
        seen["at"] = time.monotonic()

    waiting = threading.Thread(target=wait)
    waiting.start()
    status, settled = say(sidecar, hold, answer)
    said = time.monotonic()
    assert (status, settled["state"], settled["answered_by"]) == (200, "released", "operator")
    waiting.join(60)
    assert seen["at"] - said < 1.0
    assert seen["answered"][1]["state"] == "released"
    document = pay(sidecar)
    assert document["decision"] == "allow"
    assert "pending" not in document
    # What was learned is declared from now on, so nothing is found any more.
    assert bool(document["evidence"]) is (answer != "learn")


def test_no_is_final_at_once_for_this_call_and_the_same_again(sidecar):
    say(sidecar, held(sidecar), "block")
    for n in (1, 2):
        document = pay(sidecar, n)
        assert document["decision"] == "block"
        assert "pending" not in document
        assert "a person was asked and blocked it" in document["notes"]


def test_what_cannot_be_answered_is_said(sidecar):
    hold = held(sidecar)
    assert say(sidecar, "nothing", "block")[0] == 404
    status, said = say(sidecar, hold, "perhaps")
    assert (status, said["error"]["field"]) == (422, "answer")
    lone = held(sidecar, n=5, run_id="", metadata={"arguments": {"to": "x"}})
    status, said = say(sidecar, lone, "allow_run")
    assert (status, said["error"]["field"]) == (422, "answer")
    assert say(sidecar, hold, "block")[0] == 200
    assert say(sidecar, hold, "allow_once")[0] == 409
    for path in (f"/v1/holds/{hold}?wait=soon", "/v1/holds?state=lost"):
        assert sidecar.ask("GET", path)[0] == 422


def test_nobody_answers_and_it_is_blocked_when_its_time_is_over(start):
    sidecar = start("--hold-seconds", "1")
    assert sidecar.ask("POST", "/v1/agents/a/manifest", {"tools": ["search"]})[0] == 202
    hold = held(sidecar)
    assert sidecar.ask("GET", f"/v1/holds/{hold}?wait=20")[1]["state"] == "expired"
    document = pay(sidecar)
    assert (document["decision"], "pending" in document) == ("block", False)
    assert "nobody answered in time, so it stays blocked" in document["notes"]


def test_a_killed_sidecar_still_holds_and_can_be_answered_when_it_is_back(sidecar, start):
    hold = held(sidecar)
    sidecar.process.kill()
    sidecar.process.wait()
    kept = (sidecar.data / "holds.jsonl").read_text()
    assert hold in kept
    assert SECRET not in kept
    again = start()
    assert again.ask("GET", f"/v1/holds/{hold}")[1]["state"] == "waiting"
    assert pay(again)["pending"]["id"] == hold
    say(again, hold, "allow_once")
    assert pay(again)["decision"] == "allow"
    again.process.kill()
    again.process.wait()
    third = start()
    assert pay(third, 2)["pending"]["id"] != hold


def test_what_was_learned_is_declared_and_is_not_asked_again_after_a_kill(sidecar, start):
    say(sidecar, held(sidecar), "learn")
    sidecar.process.kill()
    sidecar.process.wait()
    again = start()
    assert pay(again, 7)["decision"] == "allow"
    profile = again.ask("GET", "/v1/agents/a/profile")[1]
    assert profile["declaration"]["tools"] == ["search", "pay"]
    assert profile["mode"] == "enforce"
    assert [one["value"] for one in profile["profile"]["learned"]["tool"]] == ["pay"]


def test_a_hundred_tasks_wait_at_once_and_each_gets_its_own_answer(sidecar):
    holds = [held(sidecar, n=n, run_id=f"r{n}", metadata={"arguments": {"n": n}}) for n in range(100)]
    states = {}

    def wait(hold):
        states[hold] = sidecar.ask("GET", f"/v1/holds/{hold}?wait=30")[1]["state"]

    threads = [threading.Thread(target=wait, args=(hold,)) for hold in holds]
    for thread in threads:
        thread.start()
    assert sidecar.inspect(tool="search", id="s")["decision"] == "allow"
    for n, hold in enumerate(holds):
        assert say(sidecar, hold, "allow_once" if n % 2 else "block")[0] == 200
    for thread in threads:
        thread.join(30)
    assert [states[hold] for hold in holds] == ["blocked", "released"] * 50


def test_a_file_that_cannot_be_used_is_said_at_the_start(sidecar):
    sidecar.stop()
    file = sidecar.data / "holds.jsonl"
    file.unlink()
    file.mkdir()
    sidecar.start(expect=False)
    status, said = sidecar.ended()
    assert status == 1
    assert "holds.jsonl" in said
