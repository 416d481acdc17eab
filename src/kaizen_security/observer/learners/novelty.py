"""Which values were ever seen, and how likely the next one is to be new.

An agent that keeps discovering (a web reader's hosts) must not be flagged for each discovery, and an agent that does the same five
things every day must be flagged for the sixth. What tells them apart is how many values have been seen exactly once. If the value
under judgement is new, then among the ``n + 1`` observations, it included, ``n1 + 1`` were seen exactly once. In exchangeable
observations each of them is equally likely to stand last, so a harmless new value comes next with probability
``(n1 + 1) / (n + 1)`` (Good 1953, "The population frequencies of species and the estimation of population parameters",
Biometrika 40). The score of a new value is one minus that.

Memory is bounded: ``capacity`` distinct values. When it is full the rarest, then oldest, of this replica's values makes room; the
mass of what was forgotten counts as unseen, so forgetting makes the learner quieter, never more suspicious.
"""

from __future__ import annotations

import itertools
from typing import Self

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import obj, plain
from kaizen_security.observer.learners.parts import Parted, number
from kaizen_security.observer.rooms import Names, needle, short

_LONGEST_EVER = 64
"""Characters of a value in documents of any version."""

_STATES = itertools.count(1)
_MARKS = 255
"""The last mark: 256 for at most 56 values, so that one of five new values is looked for in vain. An int of them takes 60 bytes,
and there are eight learners in the 64 KB of a baseline.
"""


class Tally:
    """How often each value was observed, in one part of the state. ``total`` only grows, so it is also the part's version."""

    __slots__ = ("counts", "forgotten", "lost", "total")

    def __init__(self) -> None:
        self.counts = Names()
        self.total = 0
        self.lost = 0  # observations of values that made room
        self.forgotten = 0  # how many values made room

    def add(self, x: str) -> None:
        """One more observation of ``x``."""
        self.total += 1
        self.counts.add(x)

    def make_room(self) -> tuple[str, int]:
        """Forget the rarest, then oldest, value: which, and how often it was observed."""
        rarest, n = self.counts.pop_rarest()
        self.lost += n
        self.forgotten += 1
        return rarest, n

    def pass_by(self) -> None:
        """An observation of a value for which there is no room at all."""
        self.total += 1
        self.lost += 1
        self.forgotten += 1

    def plus(self, other: Tally) -> Tally:
        """The sum of two parts."""
        both = Tally()
        both.total, both.lost = self.total + other.total, self.lost + other.lost
        both.forgotten = self.forgotten + other.forgotten
        both.counts = Names((*self.counts.items(), *other.counts.items()))
        return both

    def to_json(self) -> dict[str, Json]:
        """The part as a document."""
        return {"total": self.total, "lost": self.lost, "forgotten": self.forgotten, "counts": self.counts.to_json()}

    @classmethod
    def from_json(cls, document: Json, field: str) -> Tally:
        """The part in a document. Raises InvalidInput."""
        doc = obj(document, field)
        tally = cls()
        tally.total, tally.lost, tally.forgotten = (number(doc, key, field) for key in ("total", "lost", "forgotten"))
        counts = obj(doc.get("counts", {}), field + ".counts")
        rows = [
            (plain(x, field + ".counts", limit=_LONGEST_EVER), number(counts, x, field + ".counts")) for x in counts
        ]
        tally.counts = Names((short(x), n) for x, n in rows)
        if tally.counts.total() + tally.lost != tally.total or any(n == 0 for _, n in rows):
            raise InvalidInput(field + ".total", "is not what the counts add up to")
        return tally


class Novelty(Parted[Tally]):
    """Values ever seen.

    ``capacity``  distinct values that this replica lets the state grow to
    ``grace``     observations before it says anything
    ``replica``   who adds; two live replicas of one agent must have different names
    ``state``     another number, never used before in this process, whenever what it ``knows`` has changed
    """

    __slots__ = ("_marks", "_once", "_size", "_stale", "capacity", "grace", "seen", "state")

    def __init__(self, *, capacity: int = 128, grace: int = 20, replica: str = "local") -> None:
        self.capacity = capacity
        self.grace = grace
        super().__init__(Tally, replica)

    def _sum_up(self) -> None:
        self.seen = sum(tally.total for tally in self.parts())
        known = self.values()
        self._size = len(known)
        self._once = sum(1 for x in known if self.count(x) == 1)
        self._mark()

    def _mark(self) -> None:
        # A filter (Bloom 1970) with one hash: where it has no mark the value is not known; where it has one, it is looked for.
        self.state = next(_STATES)
        self._stale = 0
        self._marks = 0
        for tally in self.parts():
            for sought in tally.counts.needles():
                self._add_mark(sought)

    def _add_mark(self, sought: bytes) -> None:
        self._marks |= 1 << (hash(sought) & _MARKS)

    def count(self, x: str) -> int:
        """How often ``x`` was observed."""
        sought = needle(x)
        return sum(tally.counts.count(sought) for tally in self.parts())

    def knows(self, x: str) -> bool:
        """Whether ``x`` was ever observed, and is remembered."""
        return self.holds(needle(x))

    def holds(self, sought: bytes) -> bool:
        """``knows`` of what ``needle`` made ``sought`` of."""
        if not self._marks >> (hash(sought) & _MARKS) & 1:
            return False
        if sought in self._own.counts.text:
            return True
        return bool(self._others) and any(sought in tally.counts.text for tally in self._others)

    def values(self) -> frozenset[str]:
        """Every value that is remembered, as it is kept."""
        return frozenset(x for tally in self.parts() for x in tally.counts)

    @property
    def forgotten(self) -> int:
        """How many values had to make room."""
        return sum(tally.forgotten for tally in self.parts())

    @property
    def unseen(self) -> float:
        """Probability that a harmless next observation is a new value, if the value under judgement is one: (0, 1]."""
        lost = sum(tally.lost for tally in self.parts())
        return min(1.0, (self._once + lost + 1) / (self.seen + 1))

    def score_one(self, x: str) -> float:
        """Surprise of ``x``: 0 when it was seen before, else one minus the probability that something new comes up harmlessly.

        0 before ``grace`` observations. Does not change the learner.
        """
        if self.seen < self.grace or self.knows(x):
            return 0.0
        return 1.0 - self.unseen

    def learn_one(self, x: str) -> None:
        """Take one observation of ``x`` into this replica's part."""
        x = short(x)
        before = self.count(x)
        self.seen += 1
        if not before and self._size >= self.capacity and not self._forget_one():
            self._own.pass_by()
            return
        self._own.add(x)
        if before < 2:
            self._once += 1 if before == 0 else -1
            self._size += before == 0
            if before == 0:
                self.state = next(_STATES)
                self._add_mark(needle(x))

    def _forget_one(self) -> bool:
        # Only this replica's own part may change; when it holds nothing, there is nothing to make room with.
        if not self._own.counts:
            return False
        gone, n = self._own.make_room()
        left = self.count(gone)
        self._once += (left == 1) - (left + n == 1)
        self._size -= left == 0
        self._stale += 1
        if self._stale >= self.capacity:  # marks of what is forgotten: taken away all at once
            self._mark()
        else:
            self.state = next(_STATES)
        return True

    def _like(self) -> Self:
        return type(self)(capacity=self.capacity, grace=self.grace, replica=self.replica)

    @classmethod
    def from_json(
        cls, document: Json, *, capacity: int = 128, grace: int = 20, replica: str = "local", field: str = "novelty"
    ) -> Self:
        """The learner in a document, going on as ``replica``. Raises InvalidInput."""
        learner = cls(capacity=capacity, grace=grace, replica=replica)
        learner.load(document, Tally.from_json, field)
        return learner
