"""The rate learner: the laws, what a steady flow expects, and that what leaves slowly adds up."""

from __future__ import annotations

import pytest

from kaizen_security.contract.errors import InvalidInput
from kaizen_security.observer.learners.rate import DAY, FACTOR, Flow, Rate, Table
from kaizen_security.testing.checks import check_learner

START = 1_000_000_000.0


def load(document, replica):
    rate = Rate.new(replica)
    rate.load(document, Table.from_json, "rate")
    return rate


def steady(days=20, a_day=6, size=100.0):
    rate = Rate.new()
    for n in range(days * a_day):
        rate.learn_one(Flow(1, size * (1 + n % 3), START + n * DAY / a_day))
    return rate, START + days * DAY


def test_rates_keep_the_laws_of_learners():
    flows = [Flow(n % 3, 10.0 + n % 5, START + n * 3600.0 * 8) for n in range(60)]
    strangers = [Flow(1, 1e9, START + 70 * 8 * 3600.0), Flow(9, 1.0, START), Flow(2, 0.0, START - DAY)]
    check_learner(Rate.new, load, flows, strangers=strangers)


def test_a_steady_flow_expects_itself():
    rate, now = steady()
    level = rate.level(Flow(1, 0.0, now))
    assert level.now == pytest.approx(level.expected, rel=0.35)
    assert rate.score_one(Flow(1, 300.0, now)) == 0.0


def test_a_months_end_of_several_days_work_is_not_too_much_and_a_flood_is():
    rate, now = steady()
    day = 6 * 200.0
    assert rate.score_one(Flow(1, 5 * day, now)) == 0.0
    assert rate.score_one(Flow(1, 30 * day, now)) > 0.99


def test_what_leaves_slowly_adds_up_over_runs():
    rate, now = steady()
    small, said = 6 * 200.0 * 2, 0
    for hour in range(24):
        flow = Flow(1, small, now + hour * 3600)
        if rate.score_one(flow) >= 0.99:
            said += 1
        else:
            rate.learn_one(flow)
    assert said > 12


def test_nothing_is_said_of_a_young_key_or_in_the_first_days():
    rate, now = steady(days=3)
    assert rate.score_one(Flow(1, 1e9, now)) == 0.0
    few, later = steady(days=15, a_day=1)
    assert few.score_one(Flow(1, 1e9, later)) == 0.0


def test_a_pause_does_not_make_the_next_day_too_much():
    rate, now = steady()
    assert rate.score_one(Flow(1, 3 * 6 * 200.0, now + 10 * DAY)) == 0.0
    assert FACTOR > 3


def test_a_broken_state_is_refused_with_its_field():
    with pytest.raises(InvalidInput, match="rate"):
        load({"base": {"total": "x"}}, "a")
