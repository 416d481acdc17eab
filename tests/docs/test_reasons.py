"""The page of reasons has every reason and note that the contract has."""

from __future__ import annotations

from pathlib import Path

import pytest

from kaizen_security.contract import reasons

PAGE = Path("docs/reference/reasons.md").read_text(encoding="utf-8")
MARKS = {"ANSWERED", "JUDGED"}
"""Endings of ids, which are no reasons."""
SAID = {name: value for name, value in vars(reasons).items() if isinstance(value, str) and name.isupper()}


@pytest.mark.parametrize("name", sorted(SAID.keys() - MARKS))
def test_a_reason_is_on_the_page(name):
    assert SAID[name] in PAGE


@pytest.mark.parametrize(
    "said",
    [
        *reasons.RELEASED.values(),
        reasons.undeclared(tool="TOOL"),
        reasons.anomaly(tool="TOOL"),
        reasons.undeclared(destination="DEST").partition("this agent ")[2].rstrip("."),
        reasons.anomaly(destination="DEST").partition("did ")[2].rstrip("."),
        reasons.anomaly(kind="KIND").partition("did ")[2].rstrip("."),
        reasons.judged("malicious", 0.6, "SENTENCE"),
    ],
)
def test_a_form_is_on_the_page_as_it_is_made(said):
    assert said in PAGE
