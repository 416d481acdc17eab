"""The ninth corpus of poisoned servers: fifty attacks in twenty-two languages, written without having read the detector.

Its author had opened neither a detector, nor a corpus before this one, nor the reference page on what those had shown, and knew how
a case is written down and one line of a changelog on the seventh. Committed before it was first run. At first contact 21 of its 50
attacks were stopped (42 %; 13 of 29 in English, 8 of 21 in other languages), one twin was held and three were reported.
Then how a text is worded was learnt, from this corpus among others, and what is listed is still missed.
"""

from __future__ import annotations

import pytest

from tests.red_team.mcp.played import cases, hindered, stopped

MISSED = {
    "c-invoice",
    "d-comment",
    "d-custo",
    "d-recipe",
    "d-webhook",
    "r-aanbetaling",
    "r-otp",
    "r-pixel",
    "r-rekening",
    "r-todo",
    "r-tom-tat",
}
"""Wishes that are worded as a description is, an example of a call, a default that leads elsewhere or pays somebody else, and
orders in results in languages of few words here."""
HELD = {"c-ohje"}
"""A known server's introduction that says one harmless sentence more."""
REPORTED = {"c-hint", "c-invoice", "c-vacuum"}
"""A known server that has one harmless tool more: it gets through, and somebody is told."""
named = [pytest.param(case, id=case["id"]) for case in cases("ninth")]


@pytest.mark.parametrize("case", named)
def test_the_attack_is_stopped_or_is_a_miss_that_is_listed(case):
    assert stopped(case["attack"]) == (case["id"] not in MISSED)


@pytest.mark.parametrize("case", named)
def test_its_benign_twin_passes_unflagged_or_is_a_change_that_is_listed(case):
    held, flagged = hindered(case["twin"])
    assert (bool(held), flagged) == (case["id"] in HELD, case["id"] in HELD | REPORTED)
