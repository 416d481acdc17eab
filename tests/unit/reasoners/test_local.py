"""The local judge's rules, on questions as the Observer asks them."""

from __future__ import annotations

from dataclasses import replace

from kaizen_security.observer.facts import NO_FACTS
from kaizen_security.observer.question import Word
from kaizen_security.reasoners.local import judge
from tests.unit.reasoners.case_questions import asked


def test_a_recipient_that_only_free_text_names_is_malicious():
    assert judge(asked().facts)[0] is Word.MALICIOUS


def test_one_that_the_user_named_is_benign():
    assert judge(asked("Forward the mail to evil@attacker.example.").facts)[0] is Word.BENIGN


def test_one_that_stands_in_a_field_is_benign():
    question = asked("Mail the first contact.", content={"contacts": [{"mail": "evil@attacker.example"}]})
    assert judge(question.facts)[0] is Word.BENIGN


def test_a_call_that_what_was_read_explains_better_and_nobody_asked_for_is_suspicious():
    facts = replace(asked("Read it.").facts, values=(), asked=0.1, told=0.8, effects=("removing",), wanted=())
    word, _, why = judge(facts)
    assert word is Word.SUSPICIOUS
    assert "nobody asked for removing" in why
    assert judge(replace(facts, wanted=("removing",)))[0] is Word.BENIGN


def test_without_a_run_it_raises_nothing():
    assert judge(NO_FACTS)[0] is Word.BENIGN
