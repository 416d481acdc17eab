"""The tenth corpus of poisoned servers: fifty attacks in twenty-two languages, written without having read the detector.

Its author had opened neither a detector, nor the reference page on what the corpora had shown, and knew of the corpora before it
three cases of the ninth, for how one is written down, and the names of those that the ninth missed. Its first run had not been
looked at when it was committed.
"""

from __future__ import annotations

import pytest

from tests.red_team.mcp.played import cases, hindered, stopped

named = [pytest.param(case, id=case["id"]) for case in cases("tenth")]


@pytest.mark.parametrize("case", named)
def test_the_attack_is_stopped(case):
    assert stopped(case["attack"])


@pytest.mark.parametrize("case", named)
def test_its_benign_twin_passes_unflagged(case):
    assert hindered(case["twin"]) == ([], False)
