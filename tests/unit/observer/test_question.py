"""Questions and answers: a model may only raise, a person releases only what is releasable."""

from __future__ import annotations

import pytest

from kaizen_security.contract.action import Action
from kaizen_security.contract.verdict import Decision, Verdict
from kaizen_security.observer.observer import Observer
from kaizen_security.observer.question import Answer, Question, Word

OBSERVER = Observer(detections=())
ALLOWED = Verdict(decision=Decision.ALLOW, reason="ok")
BLOCKED = Verdict(decision=Decision.BLOCK, reason="held")


def question(floor, releasable=False):
    return Question(id="q", action=Action(), floor=floor, expires_at=100.0, releasable=releasable)


def test_nobody_asks_yet():
    assert isinstance(OBSERVER.assess(Action(), 1.0), Verdict)


@pytest.mark.parametrize("floor", [ALLOWED, BLOCKED])
def test_without_an_answer_and_after_a_late_one_the_floor_stands(floor):
    late = Answer(word=Word.MALICIOUS, by="model")
    assert OBSERVER.conclude(question(floor), None, 50.0).decision is floor.decision
    assert OBSERVER.conclude(question(floor), late, 101.0).decision is floor.decision


@pytest.mark.parametrize("word", Word)
def test_a_model_never_turns_a_block_into_an_allow(word):
    answer = Answer(word=word, by="model", confidence=1.0)
    assert OBSERVER.conclude(question(BLOCKED, releasable=True), answer, 50.0).blocked


def test_a_model_raises_with_the_reason_of_the_contract():
    answer = Answer(word=Word.SUSPICIOUS, by="model", confidence=0.6, why="it mails a stranger")
    verdict = OBSERVER.conclude(question(ALLOWED), answer, 50.0)
    assert verdict.reason == "reasoning judge (suspicious, confidence 0.6): it mails a stranger"
    assert (verdict.blocked, verdict.confidence) == (True, 0.6)


def test_a_person_releases_what_is_releasable_and_nothing_else():
    answer = Answer(word=Word.ALLOW_ONCE, by="person")
    assert OBSERVER.conclude(question(BLOCKED, releasable=True), answer, 50.0).allowed
    assert OBSERVER.conclude(question(BLOCKED), answer, 50.0).blocked
