"""From signals to a score, a probability and a threshold.

The score is a sum of signals with weights that are never negative (``weights.py``), in log odds. Each agent has its own
threshold: the shipped one, or what its own runs reached, if that is higher, as far as they count (``counted``). Before the first
of them there is none, and nothing is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import exp
from operator import itemgetter, mul

from kaizen_security.contract.action import ARGUMENTS, Action, Json
from kaizen_security.contract.canonical_values import builder
from kaizen_security.observer.habits import YOUNG, Deed, Habits
from kaizen_security.observer.origins import Call, Origin, Origins, Reached
from kaizen_security.observer.signals import NAMES, Reading, read
from kaizen_security.observer.values import Value
from kaizen_security.observer.weights import (
    ASK_BUDGET,
    ASK_LEAST,
    ASK_OWN,
    BIAS,
    BUDGET,
    FLOORS,
    HIGHEST,
    MATURE,
    OFFSET,
    SETTLED,
    SLOPE,
    WEIGHTS,
    YOUNG_BUDGET,
)

_ORDER = tuple(WEIGHTS[name] for name in NAMES)
_WEIGHED = tuple((name, WEIGHTS[name]) for name in NAMES if WEIGHTS[name] > 0)


@dataclass(frozen=True, slots=True)
class Scored:
    """A call's score. ``logit`` above ``threshold`` (None: not calibrated yet) speaks; ``probability`` is of serving somebody else.

    ``asking``    from here up to the threshold a person is asked in enforce mode (None: not calibrated yet)
    ``parts``     signal and its share of the score, the largest first
    ``steered``   whether a value of it came from something that was read and that nobody authorised
    ``requested`` whether the request itself asks for what the tool does
    ``worst``     that value, and where it came from (None: from nowhere that is known)
    ``call``      what was scored, so that nobody has to read it again
    ``made``      values that the agent made itself
    ``told``      share of the call that one place in what was read explains, ``asked`` that the request explains
    """

    tool: str
    logit: float
    probability: float
    threshold: float | None
    parts: tuple[tuple[str, float], ...]
    steered: bool
    requested: bool
    worst: tuple[Value, Origin | None] | None
    told: float
    asked: float
    sentence: Origin | None
    reached: Reached
    deed: Deed
    made: frozenset[int]
    asking: float | None = None
    call: Call | None = None

    @property
    def speaks(self) -> bool:
        """Whether it is above the agent's threshold."""
        return self.threshold is not None and self.logit > self.threshold

    @property
    def asks(self) -> bool:
        """Whether it lies in the band below: too little to say that it is wrong, too much to let it pass unasked."""
        return self.asking is not None and self.logit > self.asking and not self.speaks


_scored = builder(Scored)
_share = itemgetter(1)


def is_call(action: Action) -> bool:
    """Whether it is a call of a tool whose arguments can be looked at."""
    return bool(action.tool) and any(key in action.metadata for key in ARGUMENTS)


def arguments(action: Action) -> Json:
    """What the tool was called with; the target belongs to it."""
    found: Json = next((action.metadata[key] for key in ARGUMENTS if action.metadata.get(key)), None)
    if not isinstance(found, Mapping):
        return {"arguments": found} if found else {}
    return dict(found)


def score(call: Call, origins: Origins, habits: Habits) -> Scored:
    """The score of a call before it runs."""
    reading = read(call, origins, habits)
    logit = logit_of(reading)
    signals = reading.signals
    parts = [(name, weight * signals[name]) for name, weight in _WEIGHED if signals[name]]
    speaks = threshold(habits)
    return _scored(
        call.tool,
        logit,
        probability(logit),
        speaks,
        tuple(sorted(parts, key=_share, reverse=True)),
        reading.steered,
        reading.requested,
        reading.worst,
        reading.told,
        reading.asked,
        reading.sentence,
        origins.reached([value for value, _, _ in call.values]),
        reading.deed,
        origins.made(call),
        _asking(habits, speaks),
        call,
    )


def logit_of(reading: Reading) -> float:
    """The weighted sum."""
    total: float = sum(map(mul, _ORDER, reading.vector()))
    return BIAS + total


def probability(logit: float) -> float:
    """Calibrated on the recorded runs (Platt 1999): 0 to 1."""
    return 1.0 / (1.0 + exp(-max(-40.0, min(40.0, SLOPE * logit + OFFSET))))


def threshold(habits: Habits, budget: float = BUDGET) -> float | None:
    """The agent's own: as many of its runs lie above as the budget allows, between ``floor`` and ``HIGHEST``.

    While there are few of them the floor is that of a smaller budget; None before the first ones.
    """
    if habits.runs < YOUNG:
        return None
    least = floor(budget if len(habits.scores) >= MATURE else min(budget, YOUNG_BUDGET))
    return max(least, min(HIGHEST, habits.scores.exceeded_by(budget)))


def counted(scored: Scored, *, called_normal: bool) -> float | None:
    """As how much a call's score counts towards the agent's threshold: up to the one that it was judged by, and in full only
    where a person called it normal. None before there is a threshold.

    Else whoever plays the same attack again and again would raise the threshold up to it. The runs above stay in the count, so
    the quantile of those below is what it would be had nothing been cut off (ADR 0025).
    """
    if scored.threshold is None:
        return None
    return scored.logit if called_normal else min(scored.logit, scored.threshold)


def asking(habits: Habits) -> float | None:
    """Where the band begins in which a person is asked; never above the threshold. None while there are few runs: everything
    is new to an agent that has just begun, and nobody wants to be asked about all of it.

    The agent's own runs place it, but only between the floors of two budgets: those of an agent whose harmless runs score high
    would leave the band empty, and its attacks lie just there. That such an agent is asked about more often is what asking is for.
    """
    return _asking(habits, threshold(habits))


def _asking(habits: Habits, speaks: float | None) -> float | None:
    if speaks is None or len(habits.scores) < SETTLED:
        return None
    own = habits.scores.exceeded_by(ASK_OWN)
    return min(speaks, max(floor(ASK_BUDGET), min(floor(ASK_LEAST), own)))


@lru_cache(maxsize=16)
def floor(budget: float) -> float:
    """The least threshold for a budget: what at most that share of all harmless runs of unseen tasks exceeded, out of fold."""
    return FLOORS[max((known for known in FLOORS if known <= budget), default=min(FLOORS))]
