"""The examples on the gap's page, and its row in the table of weights."""

from __future__ import annotations

import pytest

from kaizen_security.contract.verdict import Mode
from kaizen_security.observer.gap import words
from kaizen_security.observer.gap.about import ABOUT, FIRES, SILENT, Case
from kaizen_security.observer.weigh import TABLE, Asks, Blocks, blocks


@pytest.mark.parametrize("case", [*FIRES, *SILENT], ids=lambda case: case.name)
def test_an_example_says_what_its_page_says(case: Case):
    assert case.said() == case.kinds


def test_a_gap_blocks_as_its_row_says_and_asks_nobody():
    row = TABLE[words.DETECTION]
    assert (row.blocks, row.asks) == (Blocks.ENFORCE, Asks.NEVER)
    assert TABLE["correlation"].rank < row.rank <= TABLE["taint"].rank
    assert ABOUT.name == words.DETECTION
    assert [blocks("gap", mode) for mode in (Mode.OBSERVE, Mode.ENFORCE)] == [False, True]
    assert blocks("policy", Mode.OBSERVE)
    assert not blocks("nobody knows it", Mode.ENFORCE)
