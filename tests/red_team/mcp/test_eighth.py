"""The eighth corpus of poisoned servers: fifty-three attacks after what the public literature on MCP describes.

Committed before its author opened a detector, who then mended them; the author had read the reference page on what the seven before
had shown. At first contact 31 of its 53 attacks were stopped (58 %), eight of them changes of pinned tools, look-alike letters and
hidden writing, and one twin was hindered.
"""

from __future__ import annotations

import pytest

from tests.red_team.mcp.played import cases, hindered, stopped

MISSED = {"d-rot13", "d-split", "s-issue", "s-ticket"}
"""A cipher that the text says it is in; words in parts that another text puts together; a wish in an issue like any other's; and a
ticket that names the assistant by its maker's name, as pages on how to set one up do."""
named = [pytest.param(case, id=case["id"]) for case in cases("eighth")]


@pytest.mark.parametrize("case", named)
def test_the_attack_is_stopped_or_is_a_miss_that_is_listed(case):
    assert stopped(case["attack"]) == (case["id"] not in MISSED)


@pytest.mark.parametrize("case", named)
def test_its_benign_twin_passes_unflagged(case):
    assert hindered(case["twin"]) == ([], False)
