"""From signals to a score, a probability and a threshold.

The score is a sum of signals with weights that are never negative (``weights.py``), in log odds. Each agent has its own
threshold: the
shipped one, or what its own harmless runs reached, if that is higher. Until there are enough of them there is none, and
nothing is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp

from kaizen_security.contract.action import Action, Json
from kaizen_security.observer.entities import PLACES
from kaizen_security.observer.habits import YOUNG, Deed, Habits
from kaizen_security.observer.origins import Call, Named, Origin, Origins, Value
from kaizen_security.observer.signals import NAMES, Reading, read
from kaizen_security.observer.weights import (
    ASK_BUDGET,
    BIAS,
    BUDGET,
    LOWEST_ASK,
    LOWEST_THRESHOLD,
    MATURE,
    OFFSET,
    SLOPE,
    WEIGHTS,
    YOUNG_THRESHOLD,
)

_ORDER = tuple(WEIGHTS[name] for name in NAMES)

ARGUMENTS = ("arguments", "input", "params", "query")
"""Where clients put what a tool was called with."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A call's score. ``logit`` above ``threshold`` (None: not calibrated yet) speaks; ``probability`` is of serving somebody else.

    ``asking``    from here up to the threshold a person is asked in enforce mode (None: not calibrated yet)
    ``mature``    whether the threshold is the agent's own
    ``parts``     signal and its share of the score, the largest first
    ``steered``   whether a value of it came from something that was read and that nobody authorised
    ``worst``     that value, and where it came from (None: from nowhere that is known)
    ``told``      share of the call that one place in what was read explains, ``asked`` that the request explains
    """

    tool: str
    logit: float
    probability: float
    threshold: float | None
    mature: bool
    parts: tuple[tuple[str, float], ...]
    steered: bool
    worst: tuple[Value, Origin | None] | None
    told: float
    asked: float
    sentence: Origin | None
    named: Named
    deed: Deed
    asking: float | None = None

    @property
    def speaks(self) -> bool:
        """Whether it is above the agent's threshold. While that is not its own yet, only for a place that nobody named."""
        return self._above(self.threshold)

    @property
    def asks(self) -> bool:
        """Whether it lies in the band below: too little to say that it is wrong, too much to let it pass unasked."""
        return not self.speaks and self._above(self.asking)

    @property
    def counts(self) -> bool:
        """Whether it would speak if only it were high enough."""
        return self._above(float("-inf"))

    def _above(self, bound: float | None) -> bool:
        if bound is None or self.logit <= bound:
            return False
        if self.worst is not None and self.worst[0].kind not in PLACES:
            # A word or a file of the agent's own steers nothing outwards, and every report is full of them.
            return False
        if self.mature or self.worst is None:
            return self.mature
        value, _ = self.worst
        return self.steered and value.kind in PLACES and not value.inside


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
    parts = [(name, weight * reading.signals[name]) for name, weight in zip(NAMES, _ORDER, strict=True)]
    return Scored(
        tool=call.tool,
        logit=logit,
        probability=probability(logit),
        threshold=threshold(habits),
        mature=habits.scored >= MATURE,
        parts=tuple(sorted((part for part in parts if part[1] > 0), key=lambda part: -part[1])),
        steered=reading.steered,
        worst=reading.worst,
        told=reading.told,
        asked=reading.asked,
        sentence=reading.sentence,
        named=origins.named(value for value, _, _ in call.values),
        deed=reading.deed,
        asking=asking(habits),
    )


def logit_of(reading: Reading) -> float:
    """The weighted sum."""
    return BIAS + sum(weight * value for weight, value in zip(_ORDER, reading.vector(), strict=True))


def probability(logit: float) -> float:
    """Calibrated on the recorded runs (Platt 1999): 0 to 1."""
    return 1.0 / (1.0 + exp(-max(-40.0, min(40.0, SLOPE * logit + OFFSET))))


def threshold(habits: Habits, budget: float = BUDGET) -> float | None:
    """The agent's own: as many of its harmless runs lie above as the budget allows. Until there are enough, above all of them."""
    if habits.runs < YOUNG:
        return None
    if habits.scored < MATURE:
        return max([YOUNG_THRESHOLD, *habits.highest[:1]])
    return max(LOWEST_THRESHOLD, quantile(habits.highest, habits.scored, budget))


def asking(habits: Habits) -> float | None:
    """Where the band begins in which a person is asked; never above the threshold."""
    speaks = threshold(habits)
    if speaks is None or habits.scored < MATURE:
        return speaks if speaks is None else min(speaks, max([LOWEST_ASK, *habits.highest[:1]]))
    return min(speaks, max(LOWEST_ASK, quantile(habits.highest, habits.scored, ASK_BUDGET)))


def quantile(highest: list[float], scored: int, budget: float) -> float:
    """The score that ``budget`` of ``scored`` runs exceed; minus infinity when there are none."""
    at = int(scored * budget)
    return highest[min(at, len(highest) - 1)] if highest else float("-inf")
