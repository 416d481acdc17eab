"""Held actions in the store: those that wait are bounded, and nothing else takes their places."""

from __future__ import annotations

import pytest

from kaizen_security.contract.action import Action
from kaizen_security.contract.hold import Hold, HoldState
from kaizen_security.contract.verdict import Decision, Verdict
from kaizen_security.store import held
from kaizen_security.store.base import LimitReached
from kaizen_security.store.sqlite import SqliteStore


def hold(name, *, at=0.0, until=100.0, state=HoldState.WAITING):
    action = Action(tool="pay", id="c", agent="payer", metadata={"source": "sdk"})
    verdict = Verdict(decision=Decision.BLOCK, reason="undeclared: pay")
    return Hold(id=name, action=action, verdict=verdict, created_at=at, expires_at=until, state=state)


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(held, "MAX_OPEN", 3)
    monkeypatch.setattr(held, "MAX_SETTLED", 2)
    opened = SqliteStore(tmp_path)
    opened.create_organisation("one", boundary_secret=b"x" * 32, at=1.0)
    yield opened
    opened.close()


def test_holds_of_sidecars_that_are_gone_keep_nobody_out_once_their_time_is_over(store):
    store.holds.put(1, "gone", [hold(f"old-{n}") for n in range(3)], now=1.0)
    with pytest.raises(LimitReached):
        store.holds.put(1, "another", [hold("new", at=50.0, until=150.0)], now=50.0)
    store.holds.put(1, "another", [hold("new", at=120.0, until=220.0)], now=120.0)
    assert [one.id for one in store.holds.of(1, now=120.0, state=HoldState.WAITING)] == ["new"]


def test_what_waits_is_not_forgotten_for_what_was_settled_later(store):
    store.holds.put(1, "one", [hold("waits", until=1000.0)], now=1.0)
    settled = [hold(f"{n}", at=10.0 + n, until=1000.0, state=HoldState.BLOCKED) for n in range(5)]
    store.holds.put(1, "two", settled, now=20.0)
    assert {one.id for one in store.holds.of(1, now=20.0)} == {"waits", "3", "4"}
