"""The ninth corpus of poisoned servers: fifty attacks in twenty-two languages, written without having read the detector.

Its author had opened neither a detector, nor a corpus before this one, nor the reference page on what those had shown, and knew how
a case is written down and one line of a changelog on the seventh. Committed before it was first run.
"""

from __future__ import annotations

import pytest

from tests.red_team.mcp.played import cases, hindered, stopped

MISSED = set()
named = [pytest.param(case, id=case["id"]) for case in cases("ninth")]


@pytest.mark.parametrize("case", named)
def test_the_attack_is_stopped_or_is_a_miss_that_is_listed(case):
    assert stopped(case["attack"]) == (case["id"] not in MISSED)


@pytest.mark.parametrize("case", named)
def test_its_benign_twin_passes_unflagged(case):
    assert hindered(case["twin"]) == ([], False)
