"""Docs can be trusted: links lead somewhere, decisions have the house's form, pictures exist."""

from __future__ import annotations

import re
from functools import cache

import pytest

from tests.architecture.tree import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_somewhere(page):
    targets = [
        target.split("#")[0] for target in LINK.findall(without_code(page)) if not re.match(r"[a-z]+:|#", target)
    ]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def without_code(page):
    return re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)


@cache
def headings(page):
    """Anchors of a page's headings, as GitHub makes them."""
    found = re.findall(r"^#+ (.*)$", without_code(page), flags=re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in found]
    return {re.sub(r"[^\w\- ]", "", heading).strip().replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_anchor_is_a_heading_of_its_page(page):
    lost = []
    for target, anchor in re.findall(r"\]\(([^)\s#:]*)#([^)\s]+)\)", without_code(page)):
        other = (page.parent / target).resolve() if target else page
        if other.suffix == ".md" and anchor not in headings(other):
            lost.append(f"{target}#{anchor}")
    assert lost == []


@pytest.mark.parametrize("page", sorted((ROOT / "docs/adr").glob("*.md")), ids=lambda page: page.stem)
def test_a_decision_has_its_four_parts(page):
    text = page.read_text()
    assert re.match(rf"# {page.stem[:4]} ", text)
    for part in ("**Status**", "**Context.**", "**Decision.**", "**Consequences.**"):
        assert part in text


def test_decisions_have_numbers_of_their_own():
    numbers = [page.stem[:4] for page in (ROOT / "docs/adr").glob("*.md")]
    assert len(numbers) == len(set(numbers))
