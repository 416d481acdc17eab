"""Order: a step comes where it never came in many runs."""

from __future__ import annotations

from kaizen_security.contract.action import Action
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.step import Request, Result, Step
from kaizen_security.observer.detection import About, Context, Example, Status

ABOUT = About(
    name="order",
    title="Improbable order",
    says="After the one or two steps before it, this tool never came, in enough runs that a harmless one would be rare.",
    # On recorded harmless runs it spoke in 4 of 150 of one agent and in none of four others: above the budget, so it only counts.
    status=Status.CANDIDATE,
    attacks=("scope-creep", "injection"),
    misses="An agent that goes about its work in ever new ways; an attack whose steps come in the usual order.",
    advice="Look at the steps before it. If they are right, fold the action into the baseline.",
)


def detect(action: Action, context: Context) -> tuple[Finding, ...]:
    """Speaks of a known tool at a place where a variable-order Markov model of the agent's runs never saw it."""
    if context.run is None or not action.tool or not context.baseline.habits.tools[context.trait.tool]:
        return ()
    order, before = context.baseline.behaviour.order, context.run.conduct.walk
    score = order.score_one((*before[-2:], context.trait.tool), first=len(before) <= 2)
    if score < 1.0 - context.tolerance:
        return ()
    return (
        Finding(
            kind="improbable order",
            value=action.tool[:512],
            source="baseline",
            detection=ABOUT.name,
            field="tool",
            expected="a step that came after the ones before it in other runs",
            observed=f"never there in {order.seen} runs; a harmless one is expected in {1.0 - score:.2%} of them",
            advice=ABOUT.advice,
            attack="scope-creep",
        ),
    )


# --- examples ---------------------------------------------------------------------------------------------------------------


def _call(tool: str, name: str, run: str) -> Action:
    return Action(tool=tool, id=f"{run}-{name}", run_id=run, metadata={"source": "sdk", "arguments": {"item": "x"}})


def _visit(run: str) -> tuple[Step, ...]:
    return (
        Request(run_id=run, text="Pack the parcel."),
        _call("weigh_parcel", "a", run),
        Result(run_id=run, action_id=f"{run}-a", content={"grams": "80"}),
        _call("print_stamp", "b", run),
        Result(run_id=run, action_id=f"{run}-b", content={"ok": True}),
    )


_RUNS = tuple(_visit(f"v{n}") for n in range(120))
_ASKED = (Request(run_id="now", text="Pack the parcel."),)

FIRES = (
    Example(
        name="the stamp before the weighing",
        runs=_RUNS,
        run=_ASKED,
        action=_call("print_stamp", "b", "now"),
        kinds=("improbable order",),
    ),
    Example(
        name="a second weighing after the stamp",
        runs=_RUNS,
        run=(*_ASKED, _call("print_stamp", "a", "now"), _call("weigh_parcel", "b", "now")),
        action=_call("weigh_parcel", "c", "now"),
        kinds=("improbable order",),
    ),
)

SILENT = (
    Example(
        name="the usual order",
        runs=_RUNS,
        run=(*_ASKED, _call("weigh_parcel", "a", "now")),
        action=_call("print_stamp", "b", "now"),
    ),
    Example(
        name="an order that was not seen often enough",
        runs=_RUNS[:60],
        run=_ASKED,
        action=_call("print_stamp", "b", "now"),
    ),
)
