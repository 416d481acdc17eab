"""Baseline: what one agent normally does, as learners over its kinds, tools, sources and destinations.

Two sides are kept apart: what was *told* (cooperative rung, chokepoint) and what was *seen* (egress, kernel). What an agent says of
itself so never teaches what ground truth expects, and a feed that has just been attached starts young and abstains.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from math import floor
from typing import NamedTuple, Self

from kaizen_security.contract import canonical
from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.depth import GROUND_TRUTH
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import obj, whole
from kaizen_security.observer.behaviour import Behaviour
from kaizen_security.observer.habits import YOUNG, Deed, Habits
from kaizen_security.observer.learners.novelty import Novelty
from kaizen_security.observer.learners.shared import Shared
from kaizen_security.observer.outflow import Outflow, Taught
from kaizen_security.observer.rooms import fresh_needle
from kaizen_security.observer.skills import Skills, skill_of

FORMAT = 2
"""1: what the values of calls normally are was kept in another form, and is learned anew."""

SIDES = ("told", "seen")
DIMENSIONS = ("kind", "tool", "source", "destination")
_EXCUSED = frozenset({"tool", "destination"})
"""Dimensions in which the declaration, or a request, makes a new value none."""

ROOM: Mapping[tuple[str, str], int] = {
    ("told", "kind"): 8,
    ("told", "tool"): 56,
    ("told", "source"): 6,
    ("told", "destination"): 48,
    ("seen", "kind"): 8,
    ("seen", "tool"): 8,
    ("seen", "source"): 4,
    ("seen", "destination"): 48,
}
"""Distinct values kept, chosen so that a full baseline of longest values stays within 64 KB, in memory and as a document."""


DEFINED = "defined"
"""The side of a feature that is no habit: the definition (its value) of a tool (its dimension)."""


class Feature(NamedTuple):
    """One value of an action that the baseline knows or does not."""

    side: str
    dimension: str
    value: str


def side(action: Action) -> str:
    """``seen`` for ground truth, ``told`` for the rest."""
    return _side(action.source)


def _side(source: str) -> str:
    return "seen" if source in GROUND_TRUTH else "told"


def destination(action: Action) -> str:
    """The canonical host that the action reaches, ``""`` when it reaches none."""
    place = canonical.destination(action.kind, action.target) if action.target else None
    return "" if place is None else place.host or action.target.strip()


def local(action: Action) -> bool:
    """Whether it is done to a file or runs a program, or has another target, and reaches no network that it says."""
    if action.kind == "file":
        return True
    return (action.kind == "exec" or bool(action.target)) and not destination(action)


def shown(place: canonical.Target) -> str:
    """A destination as a baseline names it."""
    # To be known is a kind of permission: a text that other clients read as another host is not the plain host.
    if place.readable and not place.also:
        return place.host
    return "|".join((place.host, *place.also)) + ("" if place.readable else "|unreadable")


def features(action: Action) -> tuple[Feature, ...]:
    """The values of ``action`` that a baseline is made of; absent ones are left out."""
    found = _features(action.kind, action.tool, action.source, action.target)
    skill = skill_of(action) if action.hash else ""
    return (*found, Feature(DEFINED, skill, action.hash)) if skill else found


@lru_cache(maxsize=1024)
def _features(kind: str, tool: str, source: str, target: str) -> tuple[Feature, ...]:
    # An agent does the same things again and again, and each is asked about when it is judged and when it is learned.
    placeless = _placeless(kind, tool, source)
    place = canonical.destination(kind, target) if target else None
    reached = "" if place is None else shown(place)
    return (*placeless, Feature(_side(source), "destination", reached)) if reached else placeless


@lru_cache(maxsize=512)
def _placeless(kind: str, tool: str, source: str) -> tuple[Feature, ...]:
    # What is new in a new action is nearly always only where it goes to.
    values = (("kind", canonical.permitted(kind)), ("tool", canonical.permitted(tool)), ("source", source))
    return tuple(Feature(_side(source), dimension, value) for dimension, value in values if value)


_REMEMBERED = 4096
_SHORT = 256
_made = tuple.__new__
"""Half of what a NamedTuple's own constructor costs, where one is made for each action."""
_NEWS: dict[tuple[int, int, int, str, str, str], tuple[Feature, ...]] = {}
"""What of kind, tool and source was new to which states of their learners. For all agents of the process together, outside of
their baselines, so that neither grows; a state that is over is never asked for again.
"""


class Baseline:
    """The learners of one agent. ``replica`` names who adds to it; ``behaviour`` is how it normally goes about its work,
    ``skills`` which definitions of tools it uses.

    ``reset_to``   of two baselines the one with the later one holds: people had the earlier forgotten (``Bundle.epoch``)
    ``folded_to``  the number of the last thing that people called normal (``contract.bundle.Fold``) in it
    """

    __slots__ = ("_habits", "_learners", "_outflow", "behaviour", "folded_to", "replica", "reset_to", "skills")

    def __init__(self, *, replica: str = "local", reset_to: int = 0) -> None:
        self.replica = replica
        self.behaviour = Behaviour(replica)
        self.skills = Skills()
        self._habits: Shared[Habits] = Shared(Habits, replica)
        self._outflow: Shared[Outflow] = Shared(Outflow, replica)
        self.reset_to = reset_to
        self.folded_to = reset_to
        self._learners = {key: Novelty(capacity=room, replica=replica) for key, room in ROOM.items()}

    @classmethod
    def starting_from(cls, others: Sequence[Baseline], *, replica: str = "local") -> Self:
        """What a new agent of the same role starts from: the sum of what others know, as its base."""
        made = cls(replica=replica)
        for key, learner in made._learners.items():
            learner.start_from(part for other in others for part in other._learners[key].parts())
        made._habits.start_from(other.habits for other in others)
        made._outflow.start_from(other.outflow for other in others)
        made.behaviour.start_from([other.behaviour for other in others])
        for other in others:
            made.skills = made.skills.merge(other.skills)
        return made

    @property
    def habits(self) -> Habits:
        """What the values of its calls normally are. To be read: ``habituate`` and ``ratify`` teach them."""
        return self._habits.whole

    def habituate(
        self, request: Sequence[str], deeds: Sequence[Deed], score: float | None, offered: Sequence[int] = ()
    ) -> None:
        """Take the calls of one run in which nothing was flagged (``Habits.learn``); the first scores count not."""
        told = score if self.habits.runs >= YOUNG else None
        self._habits.teach(lambda part: part.learn(request, deeds, told, offered))

    def count(self, score: float) -> None:
        """Take the score of a run, and nothing else of it."""
        if self.habits.runs >= YOUNG:
            self._habits.teach(lambda part: part.scores.add(score))

    @property
    def outflow(self) -> Outflow:
        """What it normally carries where. To be read: ``carry`` teaches it."""
        return self._outflow.whole

    def carry(self, taught: Iterable[Taught]) -> None:
        """Take what one run carried in which nothing was flagged (``Outflow.learn``)."""
        parts = tuple(taught)
        self._outflow.teach(lambda part: part.learn(parts))

    def ratify(self, marks: Iterable[int], *, instead: Iterable[int] = ()) -> None:
        """A person called an act normal, of which these are kept (``ratified.marks``), ``instead`` of others."""
        kept, over = tuple(marks), tuple(instead)

        def lesson(part: Habits) -> None:
            for mark in over:
                part.ratified.discard(mark)
            for mark in kept:
                part.ratified.add(mark)

        self._habits.teach(lesson)

    def turn(self) -> None:
        """Close this replica's parts, so that they can be folded, and go on in new ones."""
        for learner in self._learners.values():
            learner.turn()
        self._habits.turn()
        self._outflow.turn()
        self.behaviour.turn()

    def fold(self) -> None:
        """Take every closed part into the base and raise the epoch. Only one place may do that."""
        for learner in self._learners.values():
            learner.fold()
        self._habits.fold()
        self._outflow.fold()
        self.behaviour.fold()

    def learner(self, where: str, dimension: str) -> Novelty:
        """The learner of one side's dimension."""
        return self._learners[where, dimension]

    def knows(self, feature: Feature) -> bool:
        """Whether the value was ever learned (and is remembered)."""
        return not self.news((feature,))

    def news(self, found: Iterable[Feature]) -> list[Feature]:
        """Those of the values that were never learned (or are forgotten)."""
        learners = self._learners
        # Another definition is not something new that the agent does; ``tool_pins`` speaks of it.
        return [one for one in found if (learner := learners.get(one[:2])) is not None and not learner.knows(one.value)]

    def unknown(self, kind: str, tool: str, source: str, reached: str) -> tuple[Feature, ...]:
        """``news`` of the features of an action that ``reached`` a destination (as ``shown``; ``""``: none)."""
        learners = self._learners
        if source in GROUND_TRUTH:
            where = "seen"
            kinds, tools = learners["seen", "kind"], learners["seen", "tool"]
            sources, destinations = learners["seen", "source"], learners["seen", "destination"]
        else:
            where = "told"
            kinds, tools = learners["told", "kind"], learners["told", "tool"]
            sources, destinations = learners["told", "source"], learners["told", "destination"]
        key = (kinds.state, tools.state, sources.state, kind, tool, source)
        news = _NEWS.get(key)
        if news is None:
            news = self._remember(key)
        if not reached or destinations.holds(fresh_needle(reached)):
            return news
        return (*news, _made(Feature, (where, "destination", reached)))

    def _remember(self, key: tuple[int, int, int, str, str, str]) -> tuple[Feature, ...]:
        kind, tool, source = key[3:]
        news = tuple(self.news(_placeless(kind, tool, source)))
        if len(kind) + len(tool) + len(source) <= _SHORT:
            if len(_NEWS) >= _REMEMBERED:
                _NEWS.clear()
            _NEWS[key] = news
        return news

    def learn(self, unit: Iterable[Feature]) -> None:
        """Take one unit: a lone action, or everything that one run did. Each value counts once, however often it came.

        So neither a chatty run nor a crafted one weighs more than any other.
        """
        for feature in sorted(set(unit)):
            if feature.side == DEFINED:
                self.skills.learn(feature.dimension, feature.value)
            else:
                self._learners[feature.side, feature.dimension].learn_one(feature.value)

    @property
    def seen(self) -> int:
        """Units learned: the observations of kinds, which every action has."""
        return sum(self._learners[where, "kind"].seen for where in SIDES)

    @property
    def forgotten(self) -> int:
        """Values that had to make room."""
        return sum(learner.forgotten for learner in self._learners.values())

    def poisoning_budget(self, tolerance: float) -> dict[str, dict[str, int | float | None]]:
        """How many crafted actions move the boundary by one value, for each side and dimension.

        ``actions``  ``1`` while the dimension abstains: one unflagged, completed action (each in a run of its own) teaches one
                     value. ``None`` once it speaks: a new value is flagged, and what is flagged is never learned.
        ``excused``  of a dimension that speaks, how many new values that are excused make it abstain: a tool that its run's
                     request asks for, a tool or a destination that the declaration names. Each is learned, by one action.
                     ``None`` where nothing is excused
        ``until``    further observations, none of them new, until it speaks; 0 when it does
        ``unseen``   the probability of a harmless new value that it works with
        """
        budget: dict[str, dict[str, int | float | None]] = {}
        for (where, dimension), learner in self._learners.items():
            speaks = learner.seen >= learner.grace and learner.unseen <= tolerance
            budget[f"{where}.{dimension}"] = {
                "actions": None if speaks and dimension != "source" else 1,
                "excused": self._excused(learner, tolerance) if speaks and dimension in _EXCUSED else None,
                "until": 0 if speaks else self._until(learner, tolerance),
                "unseen": round(learner.unseen, 6),
            }
        return budget

    @staticmethod
    def _excused(learner: Novelty, tolerance: float) -> int:
        # Each raises what is rare and what was seen by one; it abstains above the tolerance.
        rare = learner.unseen * (learner.seen + 1)
        return 1 + floor((tolerance * (learner.seen + 1) - rare) / (1 - tolerance) + 1e-9)

    @staticmethod
    def _until(learner: Novelty, tolerance: float) -> int:
        rare = learner.unseen * (learner.seen + 1)
        return max(learner.grace - learner.seen, round(rare / tolerance) - 1 - learner.seen, 1)

    def profile(self) -> dict[str, Json]:
        """What was learned, for people: values by dimension, both sides together, most often seen first."""
        shown: dict[str, Json] = {}
        for dimension in DIMENSIONS:
            counts: dict[str, int] = {}
            for where in SIDES:
                learner = self._learners[where, dimension]
                for value in learner.values():
                    counts[value] = counts.get(value, 0) + learner.count(value)
            shown[dimension] = [
                {"value": value, "count": n}
                for value, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
            ]
        return shown

    def merge(self, other: Baseline) -> Baseline:
        """What both know; commutative, associative, idempotent. Goes on as ``self.replica``."""
        if self.reset_to != other.reset_to:
            later = self if self.reset_to > other.reset_to else other
            return Baseline.from_json(later.to_json(), replica=self.replica)
        merged = Baseline(replica=self.replica, reset_to=self.reset_to)
        merged.folded_to = max(self.folded_to, other.folded_to)
        merged._learners = {key: learner.merge(other._learners[key]) for key, learner in self._learners.items()}
        merged._habits = self._habits.merge(other._habits)
        merged.behaviour = self.behaviour.merge(other.behaviour)
        merged._outflow = self._outflow.merge(other._outflow)
        merged.skills = self.skills.merge(other.skills)
        return merged

    def to_json(self) -> dict[str, Json]:
        """The whole state. ``from_json`` gives it back."""
        learners = {f"{where}.{dimension}": one.to_json() for (where, dimension), one in self._learners.items()}
        document: dict[str, Json] = {
            "format": FORMAT,
            "learners": learners,
            "habits": self._habits.to_json(),
            "outflow": self._outflow.to_json(),
            "behaviour": self.behaviour.to_json(),
            "skills": self.skills.to_json(),
        }
        if self.reset_to or self.folded_to:
            document["reset_to"], document["folded_to"] = self.reset_to, self.folded_to
        return document

    @classmethod
    def from_json(cls, document: Json, *, replica: str = "local") -> Self:
        """The baseline in a document, going on as ``replica``. Raises InvalidInput naming the field."""
        doc = obj(document, "baseline")
        if doc.get("format") not in (1, FORMAT):
            raise InvalidInput("baseline.format", f"must be 1 or {FORMAT}")
        learners = obj(doc.get("learners", {}), "baseline.learners")
        baseline = cls(replica=replica, reset_to=whole(doc.get("reset_to", 0), "baseline.reset_to"))
        baseline.folded_to = whole(doc.get("folded_to", 0), "baseline.folded_to")
        for (where, dimension), room in ROOM.items():
            name = f"{where}.{dimension}"
            baseline._learners[where, dimension] = Novelty.from_json(
                learners.get(name, {}), capacity=room, replica=replica, field=f"baseline.{name}"
            )
        if doc.get("format") == FORMAT:
            baseline._habits.load(doc.get("habits"), Habits.from_json, "baseline.habits")
            baseline.behaviour = Behaviour.from_json(doc.get("behaviour"), "baseline.behaviour", replica=replica)
            baseline._outflow.load(doc.get("outflow"), Outflow.from_json, "baseline.outflow")
            baseline.skills = Skills.from_json(doc.get("skills", {}), "baseline.skills")
        return baseline
