"""Questions and answers: a model may only raise, a person releases only what is releasable."""

from __future__ import annotations

import pytest

from kaizen_security.contract import reasons
from kaizen_security.contract.action import Action
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.verdict import Decision, Mode, Verdict
from kaizen_security.observer.observer import Observer
from kaizen_security.observer.question import RELEASES, Answer, Question, Word, signature

OBSERVER = Observer(detections=())
ALLOWED = Verdict(decision=Decision.ALLOW, reason="ok")
BLOCKED = Verdict(decision=Decision.BLOCK, reason="held")


def question(floor, releasable=False):
    return Question(id="q", action=Action(), floor=floor, expires_at=100.0, releasable=releasable)


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


@pytest.mark.parametrize("word", sorted(RELEASES))
def test_a_person_releases_what_is_releasable_and_nothing_else(word):
    answer = Answer(word=word, by="person")
    released = OBSERVER.conclude(question(BLOCKED, releasable=True), answer, 50.0)
    assert released.allowed
    assert released.notes == (reasons.RELEASED[word],)
    assert OBSERVER.conclude(question(BLOCKED), answer, 50.0).blocked
    assert OBSERVER.conclude(question(BLOCKED, releasable=True), answer, 101.0).blocked


def test_a_signature_names_the_act_and_not_its_run_or_the_order_of_its_arguments():
    one = Action(tool="Pay", id="1", run_id="a", metadata={"arguments": {"to": "x", "amount": 1}})
    same = Action(tool="Pay", id="2", run_id="b", metadata={"arguments": {"amount": 1, "to": "x"}, "source": "sdk"})
    assert signature(one) == signature(same)
    others = [
        Action(tool="Pay", metadata={"arguments": {"to": "x", "amount": 2}}),
        Action(tool="Pay", target="x.example", metadata=one.metadata),
        Action(tool="send", metadata=one.metadata),
        Action(tool="Pay"),
        Action(tool="Pay", metadata={**one.metadata, "body": "whatever else a client says of it"}),
    ]
    assert len({signature(each) for each in (one, *others)}) == 6


def test_the_confidence_of_a_model_is_capped_by_the_rung_of_who_saw_it():
    sure = Answer(word=Word.MALICIOUS, by="model", confidence=1.0, why="it leaves")
    for source, most in (("sdk", 0.6), ("mcp", 0.8), ("egress", 0.95), ("ebpf", 0.95)):
        action = Action(kind="connect", target="attacker.example:443", metadata={"source": source})
        asked = Question(id="q", action=action, floor=ALLOWED, expires_at=100.0)
        verdict = OBSERVER.conclude(asked, sure, 50.0)
        assert verdict.confidence == most
        assert f"(malicious, confidence {most:g}): it leaves" in verdict.reason


def test_what_a_model_raises_names_tool_and_destination_and_carries_a_finding():
    action = Action(tool="send_mail", target="mail.example:443")
    asked = Question(id="q", action=action, floor=ALLOWED, expires_at=100.0)
    verdict = OBSERVER.conclude(asked, Answer(word=Word.MALICIOUS, by="model", confidence=0.5, why="It leaves."), 50.0)
    assert verdict.reason == (
        "reasoning judge (malicious, confidence 0.5): It leaves. Tool: send_mail. Destination: mail.example."
    )
    assert [(one.detection, one.kind, one.field) for one in verdict.evidence] == [
        ("reasoning", "judged malicious", "target")
    ]


def test_what_was_only_doubted_says_so_and_shows_the_doubt():
    doubt = Finding(kind="value of untrusted origin", value="v", detection="provenance", attack="injection")
    asked = Question(id="q", action=Action(), floor=ALLOWED, expires_at=100.0, mode=Mode.OBSERVE, doubts=(doubt,))
    verdict = OBSERVER.conclude(asked, Answer(word=Word.MALICIOUS, by="model", confidence=0.5, why="no"), 50.0)
    assert verdict.notes == (reasons.DOUBTED,)
    assert [(one.detection, one.attack) for one in verdict.evidence] == [
        ("provenance", "injection"),
        ("reasoning", "injection"),
    ]


def test_in_observe_mode_a_model_flags_and_does_not_block():
    asked = Question(id="q", action=Action(), floor=ALLOWED, expires_at=100.0, mode=Mode.OBSERVE)
    verdict = OBSERVER.conclude(asked, Answer(word=Word.MALICIOUS, by="model", confidence=0.5, why="no"), 50.0)
    assert (verdict.allowed, verdict.flagged, verdict.confidence) == (True, True, 0.5)


def test_what_a_model_calls_benign_changes_nothing():
    answer = Answer(word=Word.BENIGN, by="model", confidence=1.0, why="all is well")
    verdict = OBSERVER.conclude(question(BLOCKED), answer, 50.0)
    assert (verdict.reason, verdict.confidence, verdict.evidence) == (BLOCKED.reason, None, ())
