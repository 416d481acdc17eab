"""The order learner: the laws, the estimate, and when it keeps quiet."""

from __future__ import annotations

import pytest

from kaizen_security.contract.errors import InvalidInput
from kaizen_security.observer.learners.order import NEXT, ROOM, Order, Table, context, mark
from kaizen_security.testing.checks import check_learner

A, B, C, D = (n * 0x9E3779B97F4A7C15 % 2**64 for n in range(1, 5))


def load(document, replica):
    order = Order.new(replica)
    order.load(document, Table.from_json, "order")
    return order


def learned(*walks):
    order = Order.new()
    for walk in walks:
        order.learn_one(walk)
    return order


def test_orders_keep_the_laws_of_learners():
    walks = [(A, B, C), (A, C), (B,), (A, B, D, A), (), (A, B, A, B)] * 12
    check_learner(Order.new, load, walks, strangers=[(D, D), (A, D), (A, B, B), (C, C)])


def test_what_came_before_is_no_surprise_and_what_never_came_is():
    order = learned(*[(A, B, C)] * 120)
    assert order.score_one((A, B, C)) < 0.01
    assert order.score_one((A, B, A)) > 0.99
    assert order.score_one((C,)) > 0.99


def test_a_step_that_is_known_after_the_last_one_is_half_excused():
    order = learned(*[(A, B, C)] * 150, *[(D, B, A)] * 150)
    assert 0.99 < order.score_one((A, B, A)) < order.score_one((A, B, D))


def test_the_start_counts_only_where_it_is():
    order = learned(*[(A, B)] * 120)
    assert order.score_one((B,)) > 0.99
    assert order.score_one((B,), first=False) == 0.0


def test_too_few_runs_and_ever_new_ways_keep_it_quiet():
    assert learned(*[(A, B)] * 15).score_one((A, C)) == 0.0
    many = learned(*[(A, n * A % 2**64) for n in range(1, 200)])
    assert many.score_one((A, 12345)) == 0.0


def test_a_run_counts_a_step_once_however_often_it_came():
    order = learned((A, B, A, B, A, B))
    followed = order.whole.followed(context((A,)), mark(B))
    assert (followed.seen, followed.same) == (1, 1)


def test_contexts_and_their_successors_are_bounded():
    order = Order.new()
    for n in range(2000):
        order.learn_one(tuple((n * 7 + i) * A % 2**64 for i in range(5)))
    assert len(order.whole.rows) == ROOM
    assert NEXT < ROOM


def test_a_broken_state_is_refused_with_its_field():
    with pytest.raises(InvalidInput, match="order"):
        load({"parts": [{"replica": "a", "generation": 1, "total": 1, "rows": [1] * 14}]}, "a")
