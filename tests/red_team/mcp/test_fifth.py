"""The fifth corpus of poisoned servers, committed before its author had read a detector.

At first contact 25 of its 60 attacks were stopped, seven of the 19 among them that were then drawn by lot and held out: detectors
were mended on the other 41, and only afterwards was it counted how many of the 19 they stop: 12. The seven others were then shown
to whoever mends, and are stopped as well; the sixth corpus is of their kinds.
"""

from __future__ import annotations

import pytest

from kaizen_security.mcp import order_together
from kaizen_security.mcp.definitions import texts
from kaizen_security.mcp.order_plain import plain
from tests.red_team.mcp.played import cases, hindered, stopped

HELD_OUT = frozenset(
    "td-4 td-7 ps-3 ps-4 re-1 re-5 si-3 si-4 pr-2 pr-5 rc-3 rc-5 rn-2 sh-2 rp-4 cs-4 lj-2 hi-4 se-3".split()
)
MISSED: set[str] = set()
CHANGED = {"rn-1", "rn-2", "rn-3", "rp-1", "rp-2", "rp-3", "rp-4"}
"""Twins in which a pinned tool is no more what it was: held until a person accepts it, however harmless the change."""
named = [pytest.param(case, id=case["id"]) for case in cases("fifth")]


@pytest.mark.parametrize("case", named)
def test_the_attack_is_stopped_or_is_a_miss_that_is_listed(case):
    assert stopped(case["attack"]) == (case["id"] not in MISSED)


@pytest.mark.parametrize("case", named)
def test_its_benign_twin_passes_unless_a_pinned_tool_changed(case):
    held, flagged = hindered(case["twin"])
    assert (len(held), flagged) == ((1, True) if case["id"] in CHANGED else (0, False))


ANCHORS = {
    one.anchor for one in (*order_together.KINDS, *order_together.HEAVY, *order_together.SLOTS) if one.anchor.stems
}


def test_stems_hide_no_concept():
    every = {text for case in cases("fifth") for text in texts(case) if len(text) > 20}
    assert len(every) > 100
    for text in map(plain, every):
        for concept in ANCHORS:
            assert bool(concept.finds(text)) == concept.stands_in(text), (concept.stems, text)
