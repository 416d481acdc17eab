"""The learner of change over runs: the laws, what it takes to be sure, and that it lets go again."""

from __future__ import annotations

import random

import pytest

from kaizen_security.contract.action import Action
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.step import Request
from kaizen_security.detections import BUILTIN
from kaizen_security.observer.learners import sessions as sessions_module
from kaizen_security.observer.learners.sessions import GRACE, MOST, ROOM, Session, Sessions, Table
from kaizen_security.observer.observer import Observer
from kaizen_security.testing.checks import check_learner

DAY = 86_400.0


def load(document, replica):
    sessions = Sessions.new(replica)
    sessions.load(document, Table.from_json, "sessions")
    return sessions


def day(n, amount=0.0, novelty=0.0, bulk=5.0):
    return Session(1e9 + n * DAY, amount, novelty, bulk)


def noisy(seed, days):
    chance = random.Random(seed)
    return [day(n, chance.gauss(0, 0.4), chance.random() * 0.3, chance.gauss(6, 1)) for n in range(days)]


def learned(sessions):
    found = Sessions.new()
    for one in sessions:
        found.learn_one(one)
    return found


def test_sessions_keep_the_laws_of_learners():
    strangers = [day(99, 3.0), day(2, -9.0, 1.0, 50.0), day(0)]
    check_learner(Sessions.new, load, noisy(1, 80), strangers=strangers)


def test_runs_that_do_not_change_are_hardly_ever_taken_for_a_change():
    said = 0
    for seed in range(60):
        days = noisy(seed, GRACE + 60)
        found = learned(days[:GRACE])
        for one in days[GRACE:]:
            said += found.score_one(one) >= 0.99
            found.learn_one(one)
    assert said / (60 * 60) <= 0.003


def test_a_climb_of_which_no_step_is_odd_is_seen():
    for seed in range(20):
        found, days = learned(noisy(seed, 40)), 0
        while found.score_one(now := day(40 + days, 0.06 * days, 0.1, 6.0)) < 0.99:
            found.learn_one(now)
            days += 1
            assert days < 30


def test_one_odd_run_is_no_change():
    found = learned(noisy(3, 40))
    assert found.score_one(day(40, 30.0, 1.0, 30.0)) < 0.99


def test_a_run_as_before_ends_it():
    found = learned([*noisy(4, 40), *(day(40 + n, 1.5) for n in range(8))])
    assert found.score_one(day(60, 1.5)) >= 0.99
    assert found.score_one(day(60, 0.0, 0.1, 6.0)) == 0.0


def test_only_the_latest_runs_are_kept_in_whatever_order_they_came():
    days = noisy(5, 300)
    forwards, backwards = learned(days), learned(reversed(days))
    assert len(forwards.whole.rows) == ROOM
    assert forwards.whole.stream(0) == backwards.whole.stream(0)


def test_a_broken_state_is_refused_with_its_field():
    with pytest.raises(InvalidInput, match="sessions"):
        load({"parts": [{"replica": "a", "generation": 1, "rows": "x"}]}, "a")


def test_the_sum_before_the_next_run_is_that_of_its_steps():
    for seed in range(20):
        found = learned(noisy(seed, GRACE + seed))
        for which, climb in enumerate(found._before()):
            height, stream = 0.0, found.whole.stream(which)
            for number in stream[max(GRACE // 2, len(stream) // 2) :]:
                height = min(MOST, max(0.0, height + climb.step(number)))
            assert climb.height == height


def test_what_a_question_would_have_to_wait_for_is_worked_out_when_the_request_arrives(monkeypatch):
    observer = Observer(detections=BUILTIN)
    for one in noisy(3, GRACE + 5):
        observer.baseline.behaviour.sessions.learn_one(one)
    made = []
    inner = sessions_module._climb
    monkeypatch.setattr(sessions_module, "_climb", lambda *given: made.append(given) or inner(*given))
    at = 1e9 + 99 * DAY
    observer.note(Request(run_id="r", text="Who joined?", at=at), at)
    assert len(made) == 3
    action = Action(tool="find_members", id="a", run_id="r", metadata={"arguments": {"limit": 3}}, at=at)
    observer.note(action, at)
    observer.weighed(action, at)
    assert len(made) == 3
