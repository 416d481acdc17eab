"""Refused calls are told once a second each, and all else of a flood is counted."""

from __future__ import annotations

import os

import pytest

from kaizen_security.launch.notify import MOST_A_WINDOW, Notices

VSOCK, PACKET = (41, 40, 1), (41, 17, 3)


@pytest.fixture
def notices() -> Notices:
    theirs, ours = os.pipe()
    os.close(ours)
    return Notices(theirs, lambda pid, number, arguments: None)


def test_the_same_call_is_reported_once_a_second(notices: Notices):
    assert [notices.new(*VSOCK, at=at) for at in (10.0, 10.0, 10.9, 11.0)] == [True, False, False, True]
    assert notices.new(*PACKET, at=11.5)
    assert notices.counts == {"calls refused": 5, "calls refused: repeated within a second": 2}


def test_a_flood_of_different_ones_is_counted_to_the_last(notices: Notices):
    told = sum(notices.new(41, family, 1, at=10.0) for family in range(1000))
    assert told == MOST_A_WINDOW
    assert notices.counts == {"calls refused": 1000, "lost: flood of refused calls": 1000 - MOST_A_WINDOW}
    assert notices.new(*VSOCK, at=11.0)
