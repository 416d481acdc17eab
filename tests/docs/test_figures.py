"""What the docs quote of a benchmark is what it stored."""

from __future__ import annotations

import pytest

from benchmarks import client_page, ingest_page, inspection
from benchmarks.kept import ROOT, quoted, stored


@pytest.mark.parametrize(
    ("name", "page"), [("client", client_page), ("ingest", ingest_page), ("inspection", inspection)]
)
def test_the_page_quotes_what_was_measured(name, page):
    text = (ROOT / page.PAGE).read_text()
    assert quoted(text, name, page.lines(stored(name))) == text


def test_a_page_without_a_place_for_them_is_no_page_for_figures():
    with pytest.raises(ValueError, match="no place"):
        quoted("# A page", "client", ["| a |"])
