"""Sequence: steps that each are permitted and that together are not what this agent does."""

from __future__ import annotations

from collections.abc import Iterator

from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.step import Request, Result, Step
from kaizen_security.observer.behaviour import SENSITIVE
from kaizen_security.observer.conduct import Tried
from kaizen_security.observer.detection import About, Context, Example, Status
from kaizen_security.observer.learners.order import GRACE, mark
from kaizen_security.observer.origins import Origins

ABOUT = About(
    name="sequence",
    title="Steps that do not belong together",
    says=(
        "A log-in is tried with identities or secrets that nobody named and that were never used; or the run read "
        "something sensitive and connects to where it never did after that, though no policy forbids it."
    ),
    status=Status.INCUBATING,
    attacks=("credentials", "read-then-egress"),
    misses="Guessing that is spread over many runs; reads that nobody marked as sensitive. Needs the steps of the run.",
    advice="Look at the steps before it. If they are right, fold the action into the baseline.",
)

CLOSED = 12
"""Log-ins learned from which on it can be said that they always use the same."""
MOST_NEW = 2
"""Values that such a field ever had, at the most."""
TRIES = 3
"""Guesses at one field of a log-in, in one run, from which on it is probing; 2 when one was refused. Values that stand in the
text of what was read count as well once two were refused: an attacker may have written them there.
"""
CAREFUL = 0.05
"""After a sensitive read a new destination counts while a harmless one is expected in at most one of twenty such runs."""


def detect(action: Action, context: Context) -> Iterator[Finding]:
    """At most one finding of each of the two."""
    yield from _probing(context)
    yield from _after_a_read(action, context)


# --- log-ins ----------------------------------------------------------------------------------------------------------------


def _probing(context: Context) -> Iterator[Finding]:
    run, trait = context.run, context.trait
    if run is None or not trait.tried:
        return
    for one in trait.tried:
        if _named(one, run.origins, context):
            continue
        guess = not run.origins.stands(one.text)
        before = {value: out for value, out in run.conduct.tries.get(one.slot, {}).items() if value != one.value}
        guesses, tries = guess + sum(before.values()), 1 + len(before)
        refused = run.conduct.refusals.get(trait.tool, 0)
        probing = guesses >= TRIES or (guesses >= TRIES - 1 and refused >= 1) or (tries >= TRIES and refused >= 2)
        if probing:
            yield _finding(
                "credential probing",
                f"{tries} values of {one.field}",
                f"arguments.{one.field}",
                expected="log-ins with what the user named, or what this agent has used before",
                observed=f"{tries} values in this run, {guesses} of them from nowhere that is known; {refused} tries were refused",
                attack="credentials",
            )
            return
        if guess and _closed(one, context):
            yield _finding(
                "log-in that nobody named",
                f"a new value of {one.field}",
                f"arguments.{one.field}",
                expected=f"what it always was in {context.baseline.habits.filled[one.slot]} log-ins, or what the user names",
                observed="a value that was never used, that the user did not name, and that stands nowhere in what was read",
                attack="credentials",
            )
            return


def _named(one: Tried, origins: Origins, context: Context) -> bool:
    return (
        one.value in context.baseline.habits.slots or hash(one.text) in origins.asked.words or origins.holds(one.text)
    )


def _closed(one: Tried, context: Context) -> bool:
    habits = context.baseline.habits
    return habits.filled[one.slot] >= CLOSED and habits.fresh[one.slot] <= MOST_NEW


# --- a sensitive read, then a connection --------------------------------------------------------------------------------------


def _after_a_read(action: Action, context: Context) -> Iterator[Finding]:
    # Where a policy forbids it, the correlation says so.
    if context.correlated is None or context.rules.policy.correlates:
        return
    known = context.baseline.behaviour.order.whole.followed(SENSITIVE, mark(context.trait.place))
    if known is None or known.seen < GRACE or known.same or known.wanders or known.unseen > CAREFUL:
        return
    yield _finding(
        "new destination after a sensitive read",
        action.target[:512],
        "target",
        expected=f"one of the places that it reached after a sensitive read in {known.seen} runs",
        observed=f"never there; a harmless new one is expected in {known.unseen:.1%} of such runs",
        attack="read-then-egress",
    )


def _finding(kind: str, value: str, field: str, *, expected: str, observed: str, attack: str) -> Finding:
    return Finding(
        kind=kind,
        value=value,
        source="baseline",
        detection=ABOUT.name,
        field=field[:256],
        expected=expected,
        observed=observed,
        advice=ABOUT.advice,
        attack=attack,
    )


# --- examples ---------------------------------------------------------------------------------------------------------------


def _call(tool: str, name: str, run: str, arguments: dict[str, Json]) -> Action:
    return Action(tool=tool, id=f"{run}-{name}", run_id=run, metadata={"source": "sdk", "arguments": arguments})


def _visit(run: str, user: str = "billing") -> tuple[Step, ...]:
    return (
        Request(run_id=run, text="Fetch the statement."),
        _call("site_signin", "in", run, {"user": user, "password": "ref:site"}),
        Result(run_id=run, action_id=f"{run}-in", content={"ok": True}),
        _call("fetch_statement", "get", run, {"month": "may"}),
        Result(run_id=run, action_id=f"{run}-get", content="nothing owed"),
    )


def _read(run: str, host: str) -> tuple[Step, ...]:
    return (
        Request(run_id=run, text="Report the pay."),
        Action(
            kind="file", tool="open_pay", target="/srv/pay", run_id=run, id=f"{run}-r", metadata={"sensitive": True}
        ),
        Action(kind="http", tool="report", target=f"https://{host}/in", run_id=run, id=f"{run}-c"),
    )


_RUNS = tuple(_visit(f"v{n}") for n in range(20))
_ASKED = (Request(run_id="now", text="Fetch the statement."),)
_REFUSED = (
    *_ASKED,
    _call("site_signin", "a", "now", {"user": "ann", "password": "Winter25"}),
    Result(run_id="now", action_id="now-a", content={"ok": False}),
)

FIRES = (
    Example(
        name="a second account is tried after the first was refused",
        run=_REFUSED,
        action=_call("site_signin", "b", "now", {"user": "bob", "password": "Winter25"}),
        kinds=("credential probing",),
    ),
    Example(
        name="an account that nobody named, where it always was the same",
        runs=_RUNS,
        run=_ASKED,
        action=_call("site_signin", "b", "now", {"user": "bob", "password": "ref:site"}),
        kinds=("log-in that nobody named",),
    ),
    Example(
        name="another place than ever after a sensitive read",
        runs=tuple(_read(f"r{n}", "hr.example") for n in range(25)),
        run=_read("now", "hr.example")[:2],
        action=Action(kind="http", tool="report", target="https://elsewhere.example/in", run_id="now"),
        kinds=("new destination after a sensitive read",),
    ),
)

SILENT = (
    Example(
        name="the same account again, after an outage",
        run=_REFUSED,
        action=_call("site_signin", "b", "now", {"user": "ann", "password": "Winter25"}),
    ),
    Example(
        name="a new colleague's account, named by the user",
        runs=_RUNS,
        run=(Request(run_id="now", text="Sign in as bob and fetch the statement."),),
        action=_call("site_signin", "b", "now", {"user": "bob", "password": "ref:site"}),
    ),
    Example(
        name="the place that it always reports to after a sensitive read",
        runs=tuple(_read(f"r{n}", "hr.example") for n in range(25)),
        run=_read("now", "hr.example")[:2],
        action=Action(kind="http", tool="report", target="https://hr.example/in", run_id="now"),
    ),
)
