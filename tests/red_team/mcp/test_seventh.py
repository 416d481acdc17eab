"""The seventh corpus of poisoned servers: thirty attacks of a red-team pass over all of Kaizen.

Committed before its author opened a detector, who then mended them. At first contact 17 of its 30 attacks were stopped (57 %), five
of them changes of pinned tools, look-alike letters and hidden writing, and no twin was hindered.
"""

from __future__ import annotations

import pytest

from tests.red_team.mcp.played import cases, hindered, stopped

MISSED = {"cs-1"}
"""A secret whose signs are doubled: an encoding of the agent's own, of which there is no end."""
named = [pytest.param(case, id=case["id"]) for case in cases("seventh")]


@pytest.mark.parametrize("case", named)
def test_the_attack_is_stopped_or_is_a_miss_that_is_listed(case):
    assert stopped(case["attack"]) == (case["id"] not in MISSED)


@pytest.mark.parametrize("case", named)
def test_its_benign_twin_passes_unflagged(case):
    assert hindered(case["twin"]) == ([], False)
