"""How much a text says, however it is written."""

from __future__ import annotations

import pytest

from kaizen_security.observer.figures import LONGEST, MOST, figure

MILLIONS = (
    "9800000",
    "9,800,000.00",
    "9.800.000,00",
    "9 800 000",
    "9\u202f800\u202f000",
    "9_800_000",
    "9'800'000",
    "9\u2019800\u2019000",
    "9.8e6",
    "9.8E+6",
    "\uff19800000",
    "EUR 9.8m",
    "9800k",
    "9.8 million",
    "$9800000",
    "9800000 EUR",
)


@pytest.mark.parametrize("text", MILLIONS)
def test_an_amount_is_the_same_in_every_spelling(text):
    assert figure(text) == 9_800_000


@pytest.mark.parametrize(
    ("text", "number"), [("48.00", 48), ("48,00", 48), ("1.250", 1.25), ("1,250", 1250), ("5%", 5), ("1e300", MOST)]
)
def test_what_is_read_of_others(text, number):
    assert figure(text) == number


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-5",
        "NaN",
        "0x95",
        "2026-11-27",
        "12 34 56",
        "10.0.0.1",
        "1,2,3",
        "12:30",
        "v1.2",
        "7d",
        "1" * (LONGEST + 1),
    ],
)
def test_what_is_no_amount(text):
    assert figure(text) is None
