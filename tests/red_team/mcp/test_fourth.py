"""The fourth corpus of poisoned servers, written without having read the detectors, before this file.

At first contact 44 of its 94 attacks were stopped, and of its 94 twins none was hindered and one was flagged (a tool that a known
server adds, which is flagged by design).
"""

from __future__ import annotations

import pytest

from tests.red_team.mcp.played import cases, hindered, stopped

MISSED = {
    # Nobody is told to do anything: a guest writes what others have found best.
    "result-indirect-prose",
}
ADDED = {"rename-keeps-body"}
"""Twins in which a known server adds a tool: let through, and told of."""
named = [pytest.param(case, id=case["id"]) for case in cases("fourth")]


@pytest.mark.parametrize("case", named)
def test_the_attack_is_stopped_or_is_a_miss_that_is_listed(case):
    assert stopped(case["attack"]) == (case["id"] not in MISSED)


@pytest.mark.parametrize("case", named)
def test_its_benign_twin_passes_unflagged(case):
    assert hindered(case["twin"]) == ([], case["id"] in ADDED)
