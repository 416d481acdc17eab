"""Tool pins: a tool or skill whose definition is not the one that this agent uses."""

from __future__ import annotations

from dataclasses import replace

from kaizen_security.contract.action import Action
from kaizen_security.contract.depth import Rung
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.step import Result, Step
from kaizen_security.observer.detection import About, Context, Example, Status
from kaizen_security.observer.skills import skill_of

ABOUT = About(
    name="tool_pins",
    title="Another definition under a tool's name",
    says=(
        "The tool or skill carries the hash of a definition, this agent has used it with another one, and nobody has folded the "
        "new one in. It speaks when the tool is loaded and when it is called, also where only the load carried the hash."
    ),
    status=Status.STABLE,
    attacks=("mcp-poison",),
    misses=(
        "A definition that was bad from the start, and a tool that comes under another name; `kaizen-mcp` sees the definitions "
        "themselves and looks for both. A source that reports no hash."
    ),
    advice="Compare the definitions (`kaizen mcp pins diff`); if the new one is right, fold the action into the baseline.",
)


def detect(action: Action, context: Context) -> tuple[Finding, ...]:
    """Speaks of a known tool whose definition is new; of a call without a hash by what its run has loaded."""
    skill = skill_of(action)
    if not skill or _accepted(action):
        return ()
    mark = action.hash or (context.run.defined.get(skill, "") if context.run is not None else "")
    if not mark or not context.baseline.skills.changed(skill, mark):
        return ()
    return (
        Finding(
            kind="changed tool",
            value=action.tool[:512],
            source="baseline",
            detection="tool_pins",
            field="hash" if action.hash else "tool",
            expected="the definition with which this agent has used the tool",
            observed=f"another one, {mark[:64]}",
            advice=ABOUT.advice,
            attack="mcp-poison",
        ),
    )


def _accepted(action: Action) -> bool:
    """A chokepoint says that a person has accepted this definition. An agent's own word for that would be worth nothing."""
    return action.metadata.get("accepted") is True and action.rung is Rung.CHOKEPOINT


# --- examples ---------------------------------------------------------------------------------------------------------------

_LOAD = Action(kind="skill_load", tool="forecast", publisher="weather", hash="aa11", metadata={"source": "mcp"})
_CALL = Action(tool="forecast", publisher="weather", metadata={"source": "mcp", "arguments": {"place": "here"}})
_CHANGED = replace(_LOAD, id="load", run_id="now", hash="bb22")


def _day(n: int) -> tuple[Step, ...]:
    run = f"day-{n}"
    return (
        replace(_LOAD, id=f"{run}-load", run_id=run),
        Result(run_id=run, action_id=f"{run}-load", content="loaded"),
        replace(_CALL, id=f"{run}-call", run_id=run),
        Result(run_id=run, action_id=f"{run}-call", content={"rain": n}),
    )


_DAYS = tuple(_day(n) for n in range(3))

FIRES = (
    Example(name="another schema under the same name", runs=_DAYS, action=_CHANGED, kinds=("changed tool",)),
    Example(
        name="a call of the tool whose definition changed in this run",
        runs=_DAYS,
        run=(_CHANGED,),
        action=replace(_CALL, id="call", run_id="now"),
        kinds=("changed tool",),
    ),
    Example(
        name="an agent that says by itself that a definition was accepted",
        runs=_DAYS,
        action=replace(_CALL, hash="bb22", metadata={"source": "sdk", "arguments": {}, "accepted": True}),
        kinds=("changed tool",),
    ),
    Example(
        name="a call that itself carries another hash",
        runs=_DAYS,
        action=replace(_CALL, hash="bb22"),
        kinds=("changed tool",),
    ),
)

SILENT = (
    Example(name="the definition that was always used", runs=_DAYS, action=replace(_LOAD, run_id="now")),
    Example(name="the first definition of a tool", action=_LOAD),
    Example(
        name="a definition that was accepted at the chokepoint",
        runs=_DAYS,
        action=replace(_CALL, hash="bb22", metadata={**_CALL.metadata, "accepted": True}),
    ),
    Example(name="a tool of the same name by another publisher", runs=_DAYS, action=replace(_CHANGED, publisher="sky")),
    Example(name="a file whose hash is another one", runs=_DAYS, action=replace(_CHANGED, kind="file")),
)
