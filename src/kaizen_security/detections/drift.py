"""Drift: run after run a little more, so that no single run looks odd."""

from __future__ import annotations

from collections.abc import Iterator
from math import exp

from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.step import Request, Result, Step
from kaizen_security.observer.detection import About, Context, Example, Status
from kaizen_security.observer.learners.sessions import CAUTION, GRACE, STREAMS

ABOUT = About(
    name="drift",
    title="A slow change over runs",
    says=(
        "Over the last runs the amounts of the calls, the share of new values in them, or what is sent has kept rising above what "
        "it was in the runs before, though each run alone is within bounds, and this run goes on with it."
    ),
    status=Status.INCUBATING,
    attacks=("drift",),
    misses="A change slower than half a deviation a run, or one that took longer than the last 56 runs. Needs runs that end.",
    advice="Compare the last runs with earlier ones. If the work has changed, fold the action into the baseline.",
)

_WORDS = {
    "amount": "the amounts of its calls",
    "novelty": "the share of new values in its calls",
    "bulk": "what it sends",
}


def detect(action: Action, context: Context) -> Iterator[Finding]:
    """A finding for the stream that has climbed highest, if harmless runs would hardly have come that far."""
    if context.run is None or not context.trait.tool:
        return
    behaviour = context.baseline.behaviour
    if len(behaviour.sessions.whole.rows) < GRACE:
        return
    session = behaviour.going_on(context.run.conduct, context.trait, context.now)
    height, name, number = max(zip(behaviour.sessions.heights(session), STREAMS, session[1:], strict=True))
    # The highest of several streams: each has its share of the tolerance.
    if exp(-height / CAUTION) > context.tolerance / len(STREAMS):
        return
    yield Finding(
        kind="slow change over runs",
        value=name,
        source="baseline",
        detection=ABOUT.name,
        field="run",
        expected=f"{_WORDS[name]} as in the earlier of the last {len(behaviour.sessions.whole.rows)} runs",
        observed=f"now {number:.2f} (in logarithms, or as a share), {height:.0f} deviations added up over the later ones",
        advice=ABOUT.advice,
        attack="drift",
    )


# --- examples ---------------------------------------------------------------------------------------------------------------


def _call(run: str, limit: float) -> Action:
    arguments: dict[str, Json] = {"limit": limit, "what": "members"}
    return Action(tool="find_members", id=f"{run}-a", run_id=run, metadata={"source": "sdk", "arguments": arguments})


def _day(n: int, limit: float) -> tuple[Step, ...]:
    run = f"day-{n}"
    done = Result(run_id=run, action_id=f"{run}-a", content={"ok": True})
    return (Request(run_id=run, text="Who joined?"), _call(run, limit), done)


_STEADY = tuple(_day(n, 10 + n % 3) for n in range(30))
_CLIMB = tuple(_day(30 + n, 11 * 1.04**n) for n in range(14))
_ASKED = (Request(run_id="now", text="Who joined?"),)

FIRES = (
    Example(
        name="four per cent more every day for two weeks",
        runs=(*_STEADY, *_CLIMB),
        run=_ASKED,
        action=_call("now", 11 * 1.04**14),
        kinds=("slow change over runs",),
    ),
)

SILENT = (
    Example(name="the same as ever", runs=(*_STEADY, *_STEADY), run=_ASKED, action=_call("now", 12)),
    Example(name="one busy day", runs=_STEADY, run=_ASKED, action=_call("now", 19)),
    Example(name="after the climb, as before it", runs=(*_STEADY, *_CLIMB[:8]), run=_ASKED, action=_call("now", 10)),
    Example(name="too few runs to compare", runs=_STEADY[:12], run=_ASKED, action=_call("now", 19)),
)
