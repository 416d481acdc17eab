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


ARCHITECTURE = (ROOT / "docs/explanation/architecture.md").read_text()
PACKAGE = ROOT / "src/kaizen_security"


def test_the_floors_of_the_page_are_those_that_are_enforced():
    enforced = re.search(r"layers =\n((?:    .*\n)+)", (ROOT / ".importlinter").read_text())
    shown = re.search(r"## The floors\n\n```text\n(.*?)```", ARCHITECTURE, flags=re.DOTALL)
    assert enforced is not None
    assert shown is not None
    assert shown.group(1).split("\n") == [line.strip() for line in enforced.group(1).split("\n")]


def test_every_room_is_in_the_table_and_every_file_to_begin_at_is_there():
    rows = re.findall(r"^\| (`[a-z_]+/`(?:, `[a-z_]+/`)*) \|.*\|([^|]*)\|$", ARCHITECTURE, flags=re.MULTILINE)
    rooms = [room for named, _ in rows for room in re.findall(r"`([a-z_]+)/`", named)]
    assert sorted(rooms) == sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
    for named, begin in rows:
        folders = re.findall(r"`([a-z_]+)/`", named)
        for place in re.findall(r"`([a-z_/.]+)`", begin):
            assert any((PACKAGE / folder / place).exists() for folder in folders), (named, place)


def test_every_file_that_the_architecture_names_is_there():
    lost = [
        path
        for path in re.findall(r"`((?:[a-z_]+/)+[a-z_]*\.py)`", ARCHITECTURE)
        if not (PACKAGE / path).exists() and not (ROOT / path).exists()
    ]
    assert lost == []


def test_every_page_is_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        for target in LINK.findall(without_code(page)):
            other = (page.parent / target.split("#")[0]).resolve()
            waiting += [other] if other.suffix == ".md" and other.exists() else sorted(other.glob("*.md"))
    assert [str(page.relative_to(ROOT)) for page in PAGES if page not in reached] == []
