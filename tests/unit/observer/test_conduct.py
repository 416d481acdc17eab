"""What an action shows of an agent's conduct, and what a run adds up to."""

from __future__ import annotations

import pytest

from kaizen_security.contract.action import Action
from kaizen_security.observer.conduct import (
    MOST_FIGURES,
    MOST_KINDS,
    MOST_STEPS,
    MOST_TRAITS,
    MOST_TRIES,
    Conduct,
    Trait,
    refused,
    trait_of,
)


def shown(**arguments):
    return trait_of(Action(tool="t", metadata={"arguments": arguments}), "")


@pytest.mark.parametrize(
    ("text", "number"),
    [("48.00", 48.0), ("$1,200", 1200.0), ("1200 EUR", 1200.0), ("50%", 50.0), ("€ 3.5", 3.5), (7, 7.0), (2.5, 2.5)],
)
def test_numbers_are_found_however_they_are_written(text, number):
    assert [one.number for one in shown(amount=text).figures] == [number]


@pytest.mark.parametrize(
    "text", ["2026-01-02", "v1.2.3.4", "GB29NWBK60161331926819", "12 monkeys dance", "", True, None]
)
def test_what_is_no_number_is_none(text):
    assert shown(amount=text).figures == ()


@pytest.mark.parametrize("name", ["invoice_id", "orderNumber_ref", "zip", "page", "account"])
def test_a_number_that_names_a_thing_is_not_large_or_small(name):
    assert shown(**{name: 900_000}).figures == ()


def test_addressees_and_characters_are_counted_wherever_they_stand():
    trait = shown(to=["a@x.example", "b@x.example"], text="write to c@x.example", deep={"n": {"m": "1234567"}})
    assert trait.parties == 3
    assert trait.sent == 11 + 11 + 20 + 7


def test_ground_truth_counts_bytes_itself():
    action = Action(kind="connect", target="h.example:443", metadata={"source": "egress", "bytes_up": 1234})
    assert trait_of(action, "h.example").sent == 1234


@pytest.mark.parametrize("bytes_up", [True, "12", -4, None])
def test_a_count_that_is_none_is_not_believed(bytes_up):
    assert trait_of(Action(kind="connect", metadata={"bytes_up": bytes_up}), "").sent == 0


def test_arguments_of_any_shape_and_size_are_bounded():
    nested: dict[str, object] = {"n": 1}
    for _ in range(30):
        nested = {"n": nested}
    trait = shown(many=list(range(1, 5000)), nested=nested)
    assert len(trait.figures) == MOST_FIGURES


def test_a_run_is_bounded_in_tools_places_and_steps():
    conduct = Conduct()
    for n in range(1000):
        conduct.take(Trait(n + 1, n + 1, 5, (), 0))
        conduct.completed(Trait(n + 1, n + 1, 5, (), 0))
    assert (len(conduct.calls), len(conduct.sent), len(conduct.walk)) == (MOST_KINDS, MOST_KINDS, MOST_STEPS)
    assert len(conduct.done) == MOST_TRAITS


@pytest.mark.parametrize(
    ("tool", "arguments", "tries"),
    [
        ("portal_sign_in", {"user": "ann"}, True),
        ("authenticate", {"user": "ann"}, True),
        ("open_box", {"box": "7", "password": "x"}, True),
        ("search", {"q": "how do I log in"}, False),
        ("sign_document", {"name": "x"}, False),
    ],
)
def test_a_log_in_is_known_by_the_words_of_its_tool_or_of_its_arguments(tool, arguments, tries):
    assert bool(trait_of(Action(tool=tool, metadata={"arguments": arguments}), "").tried) is tries


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"ok": False}, True),
        ({"status": 401}, True),
        ({"authenticated": False, "text": "x"}, True),
        ({"ok": True}, False),
        ({"status": 404}, False),
        ("access denied", False),
        (None, False),
    ],
)
def test_a_refusal_is_read_from_fields_and_never_from_prose(content, said):
    assert refused(content) is said


def test_tries_and_refusals_of_a_run_are_counted_by_field_and_by_tool():
    conduct = Conduct()
    for n in range(100):
        trait = trait_of(Action(tool="login", metadata={"arguments": {"user": f"u{n}"}}), "")
        conduct.take(trait, f"a{n}", frozenset({trait.tried[0].value} if n % 2 else ()))
        conduct.answered(f"a{n}", {"ok": False}, failed=False)
        conduct.answered(f"a{n}", {"ok": False}, failed=False)
    (tried,) = conduct.tries.values()
    assert len(tried) == MOST_TRIES
    assert sum(tried.values()) == MOST_TRIES // 2
    assert list(conduct.refusals.values()) == [100]
