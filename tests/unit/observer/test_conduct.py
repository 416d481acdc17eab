"""What an action shows of an agent's conduct, and what a run adds up to."""

from __future__ import annotations

import pytest

from kaizen_security.contract.action import Action
from kaizen_security.observer.conduct import MOST_FIGURES, MOST_KINDS, MOST_STEPS, MOST_TRAITS, Conduct, Trait, trait_of


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
