"""What an administrator may choose, and what is never shown or sent elsewhere."""

from __future__ import annotations

import pytest

from kaizen_security.contract.errors import InvalidInput, Misconfigured
from kaizen_security.observer.question import Word
from kaizen_security.reasoners.choice import OFF, Budget, Provider, judge_of, read_choice, shown
from kaizen_security.testing.judging import a_question

KEY = "sk-not-to-be-seen"
STATED = {"provider": "openai", "model": "m", "api_key": KEY}


def test_a_choice_is_shown_without_its_key():
    choice = read_choice({**STATED, "budget": {"calls_per_day": 3, "input_price": 2.5}, "confidence_threshold": 0.7})
    assert choice.budget == Budget(calls=3, input_price=2.5)
    document = shown(choice)
    assert (document["has_key"], document["place"]) == (True, "https://api.openai.com/v1")
    assert KEY not in repr(document)
    assert KEY not in repr(choice)


def test_what_is_not_stated_stays_and_the_key_with_it():
    before = read_choice({**STATED, "deadline_seconds": 4})
    after = read_choice({"model": "other"}, before)
    assert (after.model, after.key, after.deadline) == ("other", KEY, 4.0)
    assert read_choice({"api_key": "", "base_url": "https://other.example/v1"}, before).key == ""


@pytest.mark.parametrize(
    "change",
    [
        {"base_url": "https://attacker.example/v1"},
        {"base_url": "https://api.openai.com:444/v1"},
        {"base_url": "http://127.0.0.1:1/v1"},
    ],
)
def test_a_key_is_never_sent_to_another_place_than_it_was_stated_for(change):
    with pytest.raises(InvalidInput) as caught:
        read_choice(change, read_choice(STATED))
    assert caught.value.field == "api_key"


def test_another_provider_begins_without_a_key():
    with pytest.raises(InvalidInput) as caught:
        read_choice({"provider": "anthropic", "model": "m"}, read_choice(STATED))
    assert caught.value.field == "api_key"


@pytest.mark.parametrize(
    ("stated", "field"),
    [
        ({"provider": "oracle"}, "provider"),
        ({"provider": "openai", "api_key": KEY}, "model"),
        ({"provider": "openai", "model": "m"}, "api_key"),
        ({"provider": "azure", "model": "m", "api_key": KEY}, "base_url"),
        ({"provider": "anthropic", "model": "m"}, "api_key"),
        ({"provider": "bedrock", "model": "m", "api_key": KEY}, "region"),
        ({"provider": "bedrock", "model": "m", "api_key": KEY, "region": "evil.example/#"}, "region"),
        ({**STATED, "base_url": "file:///etc/passwd"}, "base_url"),
        ({**STATED, "base_url": "https://u:p@api.example"}, "base_url"),
        ({**STATED, "base_url": "https://api.example/v1?x=1"}, "base_url"),
        ({**STATED, "base_url": "http://api.example/v1"}, "base_url"),
        ({**STATED, "api": "telepathy"}, "api"),
        ({**STATED, "api_key": "two words"}, "api_key"),
        ({**STATED, "api_key": "line\nbreak"}, "api_key"),
        ({**STATED, "model": "m\nx"}, "model"),
        ({**STATED, "entra": "yes"}, "entra"),
        ({**STATED, "budget": []}, "budget"),
        ({**STATED, "budget": {"calls_per_day": -1}}, "budget.calls_per_day"),
        ({**STATED, "budget": {"tokens_per_day": True}}, "budget.tokens_per_day"),
        ({**STATED, "confidence_threshold": 1.1}, "confidence_threshold"),
        ({**STATED, "confidence_threshold": float("nan")}, "confidence_threshold"),
        ({**STATED, "deadline_seconds": 0}, "deadline_seconds"),
        ({**STATED, "deadline_seconds": 1e9}, "deadline_seconds"),
    ],
)
def test_what_cannot_be_used_is_refused_by_its_field(stated, field):
    with pytest.raises(InvalidInput) as caught:
        read_choice(stated)
    assert caught.value.field == field
    assert KEY not in str(caught.value)


def test_a_server_of_ones_own_on_loopback_needs_no_key():
    choice = read_choice({"provider": "openai", "model": "m", "base_url": "http://127.0.0.1:11434/v1"})
    assert (choice.key, choice.place) == ("", "http://127.0.0.1:11434/v1")


def test_switched_off_nothing_of_the_key_is_kept():
    assert read_choice({"provider": "off"}, read_choice(STATED)).key == ""
    assert judge_of(OFF, b"k") is None


def test_an_inward_address_is_refused_where_it_is_not_permitted():
    choice = read_choice({"provider": "openai", "model": "m", "base_url": "http://169.254.169.254/v1"})
    judge = judge_of(choice, b"k" * 32)
    assert judge is not None
    found = judge.attempt(a_question(), 5.0)
    assert (found.outcome, found.answer) == ("refused", None)
    assert "not a public address" in found.problem


def test_bedrock_without_a_key_is_for_who_may_use_the_machines_role():
    choice = read_choice({"provider": "bedrock", "model": "m", "region": "eu-central-1"})
    with pytest.raises(Misconfigured, match="API key"):
        judge_of(choice, b"k")


def test_the_local_judge_says_malicious_of_a_stranger_in_free_text_and_benign_of_what_the_user_named():
    local = judge_of(read_choice({"provider": "local"}), b"k")
    assert local is not None
    assert Provider(local.name) is Provider.LOCAL
    found = local.attempt(a_question(), 1.0).answer
    assert found is not None
    assert found.word is Word.MALICIOUS
    assert found.why.startswith("local judge, no model: the address in its arguments")
