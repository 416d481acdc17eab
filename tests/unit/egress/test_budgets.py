"""Budgets: what they count, how they fill again, and that a flood of names does not help."""

from __future__ import annotations

import pytest

from kaizen_security.egress import budgets
from kaizen_security.egress.budgets import Bucket, Budget, Budgets, OverBudget, metered
from kaizen_security.egress.http1 import Destination
from kaizen_security.egress.rules import Refusal


def place(host: str, port: int = 443) -> Destination:
    return Destination(host, port, f"{host}:{port}")


def test_a_bucket_fills_again_evenly_and_never_beyond_its_limit():
    bucket = Bucket(100, 10.0, now=0.0)
    assert bucket.take(100, 0.0)
    assert not bucket.take(1, 0.0)
    assert bucket.take(10, 1.0)
    assert not bucket.take(1, 1.0)
    assert bucket.take(100, 1000.0)
    assert not bucket.take(1, 1000.0)


def test_one_take_may_go_beyond_what_is_left_and_is_paid_back():
    bucket = Bucket(100, 10.0, now=0.0)
    assert bucket.take(300, 0.0)
    assert not bucket.take(1, 19.0)
    assert bucket.take(1, 21.0)


def test_connections_are_counted_and_the_refusal_says_what_to_do():
    kept = Budgets([Budget(destination="*.example.com", connections=2, seconds=60.0)])
    for _ in range(2):
        assert not isinstance(kept.begin("a", place("x.example.com"), 0.0), Refusal)
    refused = kept.begin("a", place("y.example.com"), 0.0)
    assert isinstance(refused, Refusal)
    assert refused.code == "budget"
    assert "at most 2 connections in 60 s" in refused.evidence[0].expected
    assert refused.advice
    assert not isinstance(kept.begin("b", place("x.example.com"), 0.0), Refusal), "another agent has its own"
    assert kept.begin("a", place("elsewhere.example"), 0.0) == []


def test_each_host_may_be_counted_for_itself():
    kept = Budgets([Budget(destination="*", connections=1, each=True)])
    assert not isinstance(kept.begin("a", place("one.example"), 0.0), Refusal)
    assert not isinstance(kept.begin("a", place("two.example"), 0.0), Refusal)
    assert isinstance(kept.begin("a", place("one.example"), 0.0), Refusal)


def test_bytes_are_counted_over_connections_and_directions_apart():
    kept = Budgets([Budget(destination="*", bytes_up=1000)])
    first, second = (kept.begin("a", place("x.example"), 0.0) for _ in range(2))
    assert not isinstance(first, Refusal)
    assert not isinstance(second, Refusal)
    assert metered(first, lambda: 0.0, up=False) is None
    spend, other = (metered(meters, lambda: 0.0, up=True) for meters in (first, second))
    assert spend is not None
    assert other is not None
    spend(600)
    other(600)
    with pytest.raises(OverBudget):
        spend(1)
    assert isinstance(kept.begin("a", place("x.example"), 0.0), Refusal)


def test_a_flood_of_names_neither_pushes_out_what_was_used_nor_starts_afresh(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(budgets, "MAX_METERS", 3)
    kept = Budgets([Budget(destination="*", connections=1, each=True)])
    for name in ("a.example", "b.example", "c.example"):
        assert not isinstance(kept.begin("a", place(name), 0.0), Refusal)
    assert not isinstance(kept.begin("a", place("d.example"), 0.0), Refusal), "the first newcomer has the shared one"
    assert isinstance(kept.begin("a", place("e.example"), 0.0), Refusal)
    assert isinstance(kept.begin("a", place("a.example"), 0.0), Refusal)
    assert kept.shared == 2
