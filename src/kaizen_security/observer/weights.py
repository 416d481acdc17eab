"""The weights of the signals: the one table.

Fitted on recorded runs by ``benchmarks/fit_weights.py``, which wrote this file.
"""

from __future__ import annotations

BUDGET = 0.01
"""Stated false-positive budget: at most one harmless run in a hundred lies above an agent's threshold."""

ASK_BUDGET = 0.05
"""Stated budget of the band below: at most one harmless run in twenty lies above where asking begins."""

MATURE = 100
"""Scored runs from which on an agent's own runs alone set its threshold."""

BIAS = -6.955

SLOPE = 1.340
OFFSET = -1.371
"""From score to probability (Platt)."""

FLOORS = {
    0.002: 2.36,
    0.005: 1.53,
    0.01: 1.52,
    0.02: -0.39,
    0.05: -1.40,
}
"""For a budget, the score that at most that share of harmless runs of unseen tasks exceeded, out of fold: the least threshold."""

WEIGHTS = {
    "place_near": 3.809,
    "place_far": 6.133,
    "place_unknown": 0.363,
    "inside_far": 1.915,
    "word_near": 1.885,
    "word_far": 2.560,
    "word_known": 0.656,
    "known_led": 2.985,
    "field_led": 4.354,
    "number_far": 0.412,
    "flow_free": 0.708,
    "told_near": 0.087,
    "told_far": 1.532,
    "verb_gap": 0.995,
    "writes": 4.650,
    "effect_told": 0.531,
    "removes_unasked": 0.583,
    "fetch_far": 1.510,
    "far_unlike": 0.331,
    "far_told": 0.400,
    "told_unlike": 0.125,
    "writes_told": 1.636,
}
