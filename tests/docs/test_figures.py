"""What the docs quote of a benchmark is what it stored."""

from __future__ import annotations

import pytest

from benchmarks import client_page, ingest_page, inspection
from benchmarks.detection_targets import CURVE, targets
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


def rate(hits, of):
    return {"share": hits / of, "low": 0.0, "high": 1.0, "hits": hits, "of": of}


def measured(caught, flagged, held=0):
    figures = {"attacks caught": rate(caught, 100), "harmless runs flagged": rate(flagged, 100)}
    figures |= {"attacks caught or held": rate(caught + held, 100), CURVE: {"2.0%": (caught + held) / 100}}
    return figures


def rows(sets, observer=None):
    return {line.split(" | ")[0].removeprefix("| "): line for line in targets(sets, observer)}


def test_a_target_is_met_only_where_both_sets_meet_it():
    seen = {"banking": measured(99, 0), "slack": measured(98, 1), "shopping": measured(80, 2, held=16)}
    unseen = {"banking": measured(97, 0, held=2), "slack": measured(96, 3), "shopping": measured(70, 2, held=25)}
    table = rows({"tasks seen": seen, "tasks unseen": unseen})
    assert table["AgentDojo: harmless runs flagged"] == (
        "| AgentDojo: harmless runs flagged | ≤ 1% | 0.5% (1/200) | 1.5% (3/200) | **missed** |"
    )
    assert table["AgentDyn: attacks caught"].endswith("| ≥ 75% | 80.0% (80/100) | 70.0% (70/100) | **missed** |")
    assert table["AgentDyn: attacks caught or held"].endswith("| met |")
    assert table["AgentDyn: harmless runs flagged"].endswith("| met |")
    moved = "AgentDojo: caught where each agent's threshold is moved to flag at most 2 % of its harmless runs"
    assert table[moved].endswith("| - | 97.5% | **missed** |")


def test_other_wordings_are_told_in_points_and_speed_in_microseconds():
    sets = {
        "tasks seen": {"banking": measured(99, 0)},
        "tasks seen, reworded: goal": {"banking": measured(94, 0)},
        "tasks seen, reworded: note": {"banking": measured(99, 0)},
    }
    observer = {"results": {"observer, in a run, 15 runs learned": {"p50_us": 200.0, "p99_us": 900.4}}}
    table = rows(sets, observer)
    assert "| -5.0 (goal), +0.0 (note) | - | **missed** |" in table["AgentDojo: caught in other wordings, points"]
    assert table["a verdict, in a run, 15 runs learned, p50 / p99"].endswith("| 200 / 900 µs | - | met |")
