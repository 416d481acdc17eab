"""Scores: an agent's own threshold, from its last few hundred harmless runs."""

from __future__ import annotations

import json

import pytest

from kaizen_security.contract.errors import InvalidInput
from kaizen_security.observer.habits import Habits
from kaizen_security.observer.score import asking, floor, threshold
from kaizen_security.observer.scores import ROOM, WINDOW, Scores
from kaizen_security.observer.weights import (
    ASK_BUDGET,
    ASK_LEAST,
    BUDGET,
    FLOORS,
    HIGHEST,
    MATURE,
    SETTLED,
    YOUNG_BUDGET,
)


def of(values):
    scores = Scores()
    for value in values:
        scores.add(value)
    return scores


def test_no_more_than_the_budget_lies_above():
    scores = of(range(200))
    bound = scores.exceeded_by(0.01)
    assert sum(value > bound for value in range(200)) == 2


def test_the_first_runs_are_forgotten_after_two_windows():
    scores = of([9.0] * 50 + [0.0] * (2 * WINDOW))
    assert scores.exceeded_by(0.0) == 0.0
    assert WINDOW < len(scores) <= 2 * WINDOW


def test_a_state_survives_json_and_what_is_none_is_refused():
    scores = of([float(n % 7) for n in range(WINDOW + 40)])
    assert Scores.from_json(json.loads(json.dumps(scores.to_json())), "scores") == scores
    for wrong in (
        "x",
        [[1]],
        [[0, 1.0], [0]],
        [[True], [0]],
        [[1, "a"], [0]],
        [[99, *range(ROOM + 1)], [0]],
    ):
        with pytest.raises(InvalidInput):
            Scores.from_json(wrong, "scores")


def test_two_replicas_know_the_runs_of_both():
    a, b, c = of([1.0, 2.0]), of([3.0]), of([4.0, 0.0])
    assert a.plus(b) == b.plus(a) == of([1.0, 2.0, 3.0])
    assert a.plus(b).plus(c) == a.plus(b.plus(c))
    assert Scores.from_json(of([1.0] * WINDOW).plus(of([1.0] * WINDOW)).to_json(), "scores").exceeded_by(0.5) == 1.0


def test_the_threshold_is_the_agents_own_and_never_below_the_floor():
    habits = Habits(runs=500, scores=of([-9.0] * MATURE))
    assert threshold(habits) == floor(BUDGET)
    assert asking(habits) < threshold(habits)
    habits = Habits(runs=500, scores=of([-9.0] * 97 + [2.4, 2.5, 2.6]))
    assert threshold(habits) == 2.5


def test_an_agents_own_runs_place_the_band_but_never_empty_it():
    quiet = Habits(runs=500, scores=of([-9.0] * MATURE))
    assert asking(quiet) == floor(ASK_BUDGET)
    usual = Habits(runs=500, scores=of([-9.0] * 80 + [-1.0] * 20))
    assert asking(usual) == -1.0
    noisy = Habits(runs=500, scores=of([2.2] * MATURE))
    assert asking(noisy) == floor(ASK_LEAST) < threshold(noisy)


def test_nobody_is_asked_about_an_agent_that_has_just_begun():
    assert asking(Habits()) is None
    assert asking(Habits(runs=500, scores=of([-9.0] * (SETTLED - 1)))) is None
    assert asking(Habits(runs=500, scores=of([-9.0] * SETTLED))) == floor(ASK_BUDGET)


def test_no_flood_of_flagged_runs_raises_the_threshold_beyond_its_bound():
    assert threshold(Habits(runs=500, scores=of([99.0] * 500))) == HIGHEST


def test_a_young_agent_is_judged_more_carefully_and_one_without_runs_not_at_all():
    young = Habits(runs=20, scores=of([-9.0] * 10))
    assert threshold(young) == floor(YOUNG_BUDGET) > floor(BUDGET)
    assert threshold(Habits(runs=20, scores=of([2.5, -9.0]))) == 2.5
    assert threshold(Habits()) is None


def test_a_smaller_budget_has_no_lower_floor():
    assert [floor(budget) for budget in sorted(FLOORS)] == sorted(FLOORS.values(), reverse=True)
    assert floor(0.0001) == floor(min(FLOORS))
