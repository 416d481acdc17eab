"""The ids of rows: an agent's own choice neither passes for a further row's nor makes one that is refused."""

from __future__ import annotations

import pytest

from kaizen_security.contract import reasons
from kaizen_security.contract.fields import MAX_NAME

ENDINGS = ("", reasons.ANSWERED, reasons.JUDGED)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("length", [1, MAX_NAME - 8, MAX_NAME])
@pytest.mark.parametrize("end", ENDINGS)
def test_an_id_fits_whatever_an_agent_chose(length, end, ending):
    chosen = "a" * max(0, length - len(end)) + end
    made = reasons.row_id(chosen, ending)
    assert len(made) <= MAX_NAME
    assert made.endswith(ending)
    assert reasons.about(made.removesuffix(ending) if ending else made) == (
        made.removesuffix(ending) if ending else made
    )


def test_ids_that_differ_only_where_they_are_cut_stay_apart():
    long = "a" * (MAX_NAME - 1)
    assert len({reasons.row_id(long + end, reasons.JUDGED) for end in "xyz"}) == 3


def test_an_ordinary_id_stays_as_it_is():
    assert reasons.row_id("x-1") == "x-1"
    assert reasons.row_id("x-1", reasons.JUDGED) == "x-1:judged"
