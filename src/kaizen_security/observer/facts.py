"""Facts of a question: what is known of a call's values and of the run so far, in closed terms, for whoever is asked.

Gathered while the run is at hand, only for the few actions that somebody is asked about. A value's own text is carried for one
purpose, to be hashed under a key by who passes the facts on (``reasoners.case``); it is not part of what is shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

from kaizen_security.contract import canonical
from kaizen_security.contract.action import Action
from kaizen_security.contract.declaration import NOTHING_DECLARED, Declaration
from kaizen_security.contract.depth import Rung
from kaizen_security.contract.finding import Finding
from kaizen_security.observer.detection import Context
from kaizen_security.observer.effects import Effect
from kaizen_security.observer.entities import PLACES, Kind
from kaizen_security.observer.habits import Habits
from kaizen_security.observer.origins import Call, Origin, Origins
from kaizen_security.observer.score import arguments
from kaizen_security.observer.signals import prepare
from kaizen_security.observer.values import Value

MOST_VALUES = 24
"""Values of a call that are passed on; the others are counted."""
MOST_READS = 16


class Stood(NamedTuple):
    """Where a value was found: in which tool's result, under which path, in free text or in a field of its own."""

    tool: str
    path: str
    free: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """One value of the call.

    ``path``     where in the arguments
    ``inside``   it stands within a longer text
    ``by_user``  the request says it; ``used`` this agent has used it just here before, unflagged
    ``stood``    where else it was found; None when nowhere that is known
    """

    path: str
    kind: Kind
    text: str = field(repr=False)
    inside: bool = False
    by_user: bool = False
    used: bool = False
    stood: Stood | None = None

    @property
    def strange(self) -> bool:
        """A place that neither the user named nor the agent used here before, and that only free text holds."""
        known = self.by_user or self.used or self.inside
        return self.kind in PLACES and not known and self.stood is not None and self.stood.free


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One thing that a run did, for whoever looks at the whole run.

    ``effects``   classes of effect that the tool's name speaks of; ``unasked``: those that the request does not
    ``new``       dimensions in which the agent had never done this
    ``strange``   a place in its arguments stands only in free text that was read
    ``findings``  what was found or doubted of it
    """

    kind: str
    tool: str
    target: str = field(repr=False)
    rung: Rung
    effects: tuple[str, ...] = ()
    unasked: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    strange: bool = False
    findings: tuple[Finding, ...] = ()
    blocked: bool = False

    @property
    def speaks(self) -> bool:
        """Whether anything speaks against it."""
        return bool(self.findings or self.strange or (self.unasked and self.new))


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """``omitted``          values beyond ``MOST_VALUES``
    ``traced``           whether the run is known at all; without it nothing is said of origins
    ``effects``          classes of effect that the tool's name speaks of; ``wanted``: that the request speaks of
    ``reads``            tools whose results came in before, in order, each once
    ``asked``, ``told``  share of the call that the request explains, and that one place in what was read explains
    ``told_by``          the tool whose result that place is in
    ``probability``      of serving somebody else, as the Observer has it
    ``new``              dimensions (kind, tool, source, destination) in which the agent has never done this
    ``seen``             observations that the agent's baseline is made of
    ``done``             where a whole run is asked about: what it did, in order; ``undone``: how much more
    """

    values: tuple[Traced, ...] = ()
    omitted: int = 0
    traced: bool = False
    effects: tuple[str, ...] = ()
    wanted: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    asked: float | None = None
    told: float | None = None
    told_by: str = ""
    probability: float | None = None
    new: tuple[str, ...] = ()
    seen: int = 0
    declaration: Declaration = NOTHING_DECLARED
    done: tuple[Done, ...] = ()
    undone: int = 0


NO_FACTS = Facts()
"""Nothing is known but the action itself."""


def gather(action: Action, context: Context) -> Facts:
    """The facts of an action that was noted and is not concluded yet. Changes nothing."""
    run, reading = context.run, context.reading
    call = None if reading is None else reading.call
    if call is None:
        call = prepare(canonical.tool(action.tool), arguments(action), spelled=action.tool)
    known = of_call(call, None if run is None else run.origins, context.baseline.habits)
    return replace(
        known,
        asked=None if reading is None else reading.asked,
        told=None if reading is None else reading.told,
        told_by="" if reading is None or reading.sentence is None else reading.sentence.tool,
        probability=None if reading is None else reading.probability,
        new=tuple(one.dimension for one in context.looked.news),
        seen=context.baseline.seen,
        declaration=context.rules.declaration,
    )


def of_call(call: Call, origins: Origins | None, habits: Habits) -> Facts:
    """What the values of a call and the results before it tell; nothing of how they were scored."""
    values = traced(call, origins, habits, MOST_VALUES)
    return Facts(
        values=values,
        omitted=len(call.values) - len(values),
        traced=origins is not None and bool(origins.asked.words or origins.sources),
        effects=named(call.effects),
        wanted=() if origins is None else named(origins.asked.effects),
        reads=() if origins is None else tuple(dict.fromkeys(one.tool for one in origins.sources))[-MOST_READS:],
    )


def traced(call: Call, origins: Origins | None, habits: Habits, most: int) -> tuple[Traced, ...]:
    """The first values of a call, and where they came from."""
    return tuple([_traced(value, slot, origins, habits) for value, slot, _ in call.values[:most]])


def named(effects: frozenset[Effect]) -> tuple[str, ...]:
    """Classes of effect, by name, in order."""
    return tuple(sorted(one.value for one in effects))


def _traced(value: Value, slot: int, origins: Origins | None, habits: Habits) -> Traced:
    found = None if origins is None else _origin(value, origins)
    return Traced(
        path=value.field,
        kind=value.kind,
        text=value.text,
        inside=value.inside,
        by_user=origins is not None and origins.by_user(value),
        used=slot in habits.slots,
        stood=None if found is None else Stood(found.tool, found.path, found.sentence >= 0),
    )


def _origin(value: Value, origins: Origins) -> Origin | None:
    fields = origins.fields(value)
    return fields[0] if fields else origins.sentence(value)
