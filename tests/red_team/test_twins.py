"""A twin differs from its attack only in the malicious part."""

from __future__ import annotations

import pytest

from kaizen_security.redteam.corpus import load
from kaizen_security.redteam.scenario import Deed, Shelf

PAIRS = [scenario for scenario in load() if scenario.shelf is not Shelf.BENIGN]


@pytest.mark.parametrize("scenario", PAIRS, ids=lambda scenario: scenario.id)
def test_all_but_the_malicious_moves_are_the_same(scenario):
    assert len(scenario.sessions) == len(scenario.twin)
    for attack, twin in zip(scenario.sessions, scenario.twin, strict=True):
        assert [getattr(attack, key) for key in ("agent", "request", "after", "delegation")] == [
            getattr(twin, key) for key in ("agent", "request", "after", "delegation")
        ]
        for there, here in zip(attack.moves, twin.moves, strict=True):
            if malicious(there):
                assert type(there) is type(here)
                assert there.name == here.name
                assert essence(there) != essence(here)
            else:
                assert there == here


@pytest.mark.parametrize("scenario", PAIRS, ids=lambda scenario: scenario.id)
def test_a_read_that_was_injected_differs_in_what_it_brings_back_and_in_nothing_else(scenario):
    for attack, twin in zip(scenario.sessions, scenario.twin, strict=True):
        for there, here in zip(attack.moves, twin.moves, strict=True):
            if there.injected:
                assert essence(there)[:-1] == essence(here)[:-1]
                assert type(there.result) is type(here.result)


@pytest.mark.parametrize("scenario", PAIRS, ids=lambda scenario: scenario.id)
def test_the_twin_carries_no_malice(scenario):
    assert not any(malicious(move) for session in scenario.twin for move in session.moves)
    assert scenario.twin_story


@pytest.mark.parametrize("scenario", PAIRS, ids=lambda scenario: scenario.id)
def test_a_twin_does_only_what_is_declared(scenario):
    if scenario.declaration.tools:
        assert {deed.tool for deed in scenario.benign} <= set(scenario.declaration.tools)


def malicious(move):
    return move.injected or (isinstance(move, Deed) and move.attacking)


def essence(deed):
    """All that can be seen of a deed, what it brings back last."""
    return (
        deed.effect,
        deed.tool,
        deed.target,
        dict(deed.arguments),
        deed.kind,
        deed.publisher,
        deed.hash,
        deed.source,
        deed.sensitive,
        deed.result,
    )
