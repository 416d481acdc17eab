"""Docs can be trusted: links lead somewhere, decisions have the house's form, pictures exist."""

from __future__ import annotations

import re

import pytest

from tests.architecture.tree import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page):
    without_code = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    targets = [target.split("#")[0] for target in LINK.findall(without_code) if not re.match(r"[a-z]+:|#", target)]
    assert [target for target in targets if not (page.parent / target).exists()] == []


@pytest.mark.parametrize("page", sorted((ROOT / "docs/adr").glob("*.md")), ids=lambda page: page.stem)
def test_a_decision_has_its_four_parts(page):
    text = page.read_text()
    assert re.match(rf"# {page.stem[:4]} ", text)
    for part in ("**Status**", "**Context.**", "**Decision.**", "**Consequences.**"):
        assert part in text


def test_decisions_have_numbers_of_their_own():
    numbers = [page.stem[:4] for page in (ROOT / "docs/adr").glob("*.md")]
    assert len(numbers) == len(set(numbers))
