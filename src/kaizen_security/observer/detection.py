"""What a detection is to the Observer: a name, a status, and a pure function from an action in its context to findings.

The detections themselves live one floor up and are handed in; the Observer knows none of them by name except in the table of
``weigh``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol, TypeAlias

from kaizen_security.contract.action import Action
from kaizen_security.contract.canonical_values import builder
from kaizen_security.contract.declaration import NOTHING_DECLARED, Declaration
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.policy import Policy
from kaizen_security.contract.step import Step
from kaizen_security.contract.verdict import Mode
from kaizen_security.observer.baseline import Baseline
from kaizen_security.observer.conduct import NOTHING_SHOWN, Trait
from kaizen_security.observer.load import Load
from kaizen_security.observer.lookup import Looked
from kaizen_security.observer.peers import NOBODY, Peers
from kaizen_security.observer.rules import Rules
from kaizen_security.observer.run import Run
from kaizen_security.observer.score import Scored


class Status(StrEnum):
    """How far a detection is trusted. CANDIDATE: counted only. INCUBATING: may flag. STABLE: may block, where the table says so."""

    CANDIDATE = "candidate"
    INCUBATING = "incubating"
    STABLE = "stable"


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """A detection's own page. ``attacks`` are ids of ``contract.attacks``; ``misses`` says what it cannot see."""

    name: str
    title: str
    says: str
    status: Status
    attacks: tuple[str, ...] = ()
    misses: str = ""
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a detection may look at besides the action. It changes none of it.

    ``tolerance``   highest probability of a harmless new value at which novelty still speaks
    ``now``         Unix seconds of the last step of the agent
    ``correlated``  what the correlation said when the action was noted
    ``load``        what the action carries
    ``peers``       what the other agents of its role do
    ``trait``       size, addressees and amounts of the action
    ``reading``     what the origins of its values say; None when nothing is known of the run, or the action is no call
    ``looked``      what policy, declaration and baseline say of the action
    """

    rules: Rules
    baseline: Baseline
    looked: Looked
    run: Run | None = None
    correlated: Finding | None = None
    reading: Scored | None = None
    load: Load | None = None
    trait: Trait = NOTHING_SHOWN
    peers: Peers = NOBODY
    tolerance: float = 0.01
    now: float = 0.0


context_of = builder(Context)
"""A Context of all its fields: one is made for each action."""


@dataclass(frozen=True, slots=True)
class Abstention:
    """A detection says that it does not know, and why. It becomes a note of the verdict, never a finding."""

    why: str


@dataclass(frozen=True, slots=True)
class Doubt:
    """Too little to flag, too much to let pass unasked: in enforce mode a person is asked; in observe mode it is nothing."""

    finding: Finding


Said: TypeAlias = Finding | Abstention | Doubt


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A case beside the code: after ``before`` (each one unit, learned if unflagged) comes ``action``.

    ``runs``   whole runs before it, learned if nothing in them is flagged; ``run``: what came before it in its own run
    ``kinds``  the kinds of the findings that it must give, in order; empty for a case that stays silent
    """

    name: str
    action: Action
    kinds: tuple[str, ...] = ()
    before: tuple[Action, ...] = ()
    runs: tuple[tuple[Step, ...], ...] = ()
    run: tuple[Step, ...] = ()
    policies: tuple[Policy, ...] = ()
    declaration: Declaration = field(default=NOTHING_DECLARED)
    mode: Mode = Mode.OBSERVE
    peers: Peers = NOBODY


class Detection(Protocol):
    """The shape of a detection's module."""

    @property
    def ABOUT(self) -> About:
        """Its page."""
        ...

    @property
    def FIRES(self) -> tuple[Example, ...]:
        """Cases in which it says something."""
        ...

    @property
    def SILENT(self) -> tuple[Example, ...]:
        """Cases in which it must not."""
        ...

    def detect(self, action: Action, context: Context) -> Iterable[Said]:
        """What it says of the action. Pure."""
        ...
