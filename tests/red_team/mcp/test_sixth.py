"""The sixth corpus of poisoned servers: of the kinds of attack that the five before it were missed in, a few of each.

Committed before its author opened a detector, who then mended them. At first contact three of its 24 attacks were stopped (ot-1,
la-3, la-5) and no twin was hindered: what was missed once was missed in its other wordings too. What is stopped now says that
the mending reaches further than the case that asked for it, not how many unknown attacks would be found.
"""

from __future__ import annotations

import pytest

from tests.red_team.mcp.played import cases, hindered, stopped

MISSED: set[str] = set()
named = [pytest.param(case, id=case["id"]) for case in cases("sixth")]


@pytest.mark.parametrize("case", named)
def test_the_attack_is_stopped_or_is_a_miss_that_is_listed(case):
    assert stopped(case["attack"]) == (case["id"] not in MISSED)


@pytest.mark.parametrize("case", named)
def test_its_benign_twin_passes_unflagged(case):
    assert hindered(case["twin"]) == ([], False)
