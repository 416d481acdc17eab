"""Contributions: what a call's score is made of and where its values came from, as a verdict carries them. No text of the run."""

from __future__ import annotations

from typing import Final

from kaizen_security.contract.score import MAX_PARTS, MAX_VALUES, Came, Part, Score
from kaizen_security.observer.detection import Context
from kaizen_security.observer.facts import Traced, named, traced
from kaizen_security.observer.score import Scored
from kaizen_security.observer.weights import BIAS, WEIGHTS

NEAR: Final = 2.0
"""Log odds below the threshold from where on a score is taken apart: what was nearly found can be explained too."""
_LONGEST = 200


def score_of(context: Context) -> Score | None:
    """The score of an action that was read; None for one that was not. In parts where something was found, or nearly."""
    scored = context.reading
    if scored is None:
        return None
    apart = scored.threshold is not None and scored.logit > scored.threshold - NEAR
    # Of the facts of the action only what a score says: the rest is for who is asked about it.
    call, run = scored.call if apart else None, context.run
    origins = None if run is None else run.origins
    values = () if call is None else traced(call, origins, context.baseline.habits, MAX_VALUES)
    return Score(
        value=scored.logit,
        threshold=scored.threshold,
        probability=scored.probability,
        bias=BIAS,
        parts=_parts(scored) if apart else (),
        steered=scored.steered,
        asked=min(1.0, scored.asked),
        told=min(1.0, scored.told),
        came=tuple(map(_came, values)),
        wanted=() if call is None or origins is None else named(origins.asked.effects),
        effects=() if call is None else named(call.effects),
    )


def _parts(scored: Scored) -> tuple[Part, ...]:
    return tuple(
        Part(name=name, weight=WEIGHTS[name], value=min(1.0, points / WEIGHTS[name]))
        for name, points in scored.parts[:MAX_PARTS]
    )


def _came(value: Traced) -> Came:
    origin, tool, path = "unknown", "", ""
    if value.by_user:
        origin = "user"
    elif value.used:
        origin = "used"
    elif value.stood is not None:
        origin, tool, path = "text" if value.stood.free else "field", value.stood.tool, value.stood.path
    return Came(
        field=value.path[:_LONGEST], kind=value.kind.value, origin=origin, tool=tool[:_LONGEST], path=path[:_LONGEST]
    )
