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
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Self

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import array, obj, plain, text
from kaizen_security.observer.rooms import LONGEST, Names, needle, short

_LONGEST_EVER = 64
"""Characters of a value in documents of any version."""

_STATES = itertools.count(1)
_MARKS = 255
"""The last mark: 256 for at most 56 values, so that one of five new values is looked for in vain. An int of them takes 60 bytes,
and there are eight learners in the 64 KB of a baseline.
"""

MAX_PARTS = 64
"""Replicas and generations that one state may hold before they have to be folded."""


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
        tally.total, tally.lost, tally.forgotten = (whole(doc, key, field) for key in ("total", "lost", "forgotten"))
        counts = obj(doc.get("counts", {}), field + ".counts")
        rows = [(plain(x, field + ".counts", limit=_LONGEST_EVER), whole(counts, x, field + ".counts")) for x in counts]
        tally.counts = Names((short(x), n) for x, n in rows)
        if tally.counts.total() + tally.lost != tally.total or any(n == 0 for _, n in rows):
            raise InvalidInput(field + ".total", "is not what the counts add up to")
        return tally

    @property
    def order(self) -> tuple[int, str]:
        """Later states of one part come after earlier ones; the text decides between clones that should not exist."""
        return self.total, json.dumps(self.to_json(), sort_keys=True)


def whole(document: Mapping[str, Json], key: str, field: str) -> int:
    """The whole number from 0 under ``key``. Raises InvalidInput."""
    value = document.get(key, 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise InvalidInput(f"{field}.{key[:LONGEST]}", "must be a whole number from 0")
    return value


class Novelty:
    """Values ever seen. State is a base with an epoch plus one part for each replica and generation.

    ``capacity``  distinct values that this replica lets the state grow to
    ``grace``     observations before it says anything
    ``replica``   who adds; two live replicas of one agent must have different names
    ``state``     another number, never used before in this process, whenever what it ``knows`` has changed
    """

    __slots__ = (
        "_base",
        "_epoch",
        "_folded",
        "_marks",
        "_once",
        "_own",
        "_parts",
        "_size",
        "_stale",
        "capacity",
        "grace",
        "replica",
        "seen",
        "state",
    )

    def __init__(self, *, capacity: int = 128, grace: int = 20, replica: str = "local") -> None:
        self.capacity = capacity
        self.grace = grace
        self.replica = replica
        self._epoch = 0
        self._base = Tally()
        self._folded: dict[str, int] = {}
        self._parts: dict[tuple[str, int], Tally] = {}
        self._own = Tally()
        self._index()

    def _index(self) -> None:
        generation = max(
            (g for r, g in self._parts if r == self.replica), default=self._folded.get(self.replica, 0) + 1
        )
        self._own = self._parts.setdefault((self.replica, generation), Tally())
        self.seen = sum(tally.total for tally in self._tallies())
        known = self.values()
        self._size = len(known)
        self._once = sum(1 for x in known if self.count(x) == 1)
        self._mark()

    def _mark(self) -> None:
        # A filter (Bloom 1970) with one hash: where it has no mark the value is not known; where it has one, it is looked for.
        self.state = next(_STATES)
        self._stale = 0
        self._marks = 0
        for tally in self._tallies():
            for sought in tally.counts.needles():
                self._add_mark(sought)

    def _add_mark(self, sought: bytes) -> None:
        self._marks |= 1 << (hash(sought) & _MARKS)

    def _tallies(self) -> Iterator[Tally]:
        yield self._base
        yield from self._parts.values()

    def count(self, x: str) -> int:
        """How often ``x`` was observed."""
        sought = needle(x)
        found = self._base.counts.count(sought)
        for part in self._parts.values():
            found += part.counts.count(sought)
        return found

    def knows(self, x: str) -> bool:
        """Whether ``x`` was ever observed, and is remembered."""
        return self.holds(needle(x))

    def holds(self, sought: bytes) -> bool:
        """``knows`` of what ``needle`` made ``sought`` of."""
        if not self._marks >> (hash(sought) & _MARKS) & 1:
            return False
        if sought in self._own.counts.text or sought in self._base.counts.text:
            return True
        return len(self._parts) > 1 and any(sought in part.counts.text for part in self._parts.values())

    def values(self) -> frozenset[str]:
        """Every value that is remembered, as it is kept."""
        return frozenset(x for tally in self._tallies() for x in tally.counts)

    @property
    def forgotten(self) -> int:
        """How many values had to make room."""
        return sum(tally.forgotten for tally in self._tallies())

    @property
    def unseen(self) -> float:
        """Probability that a harmless next observation is a new value, if the value under judgement is one: (0, 1]."""
        lost = sum(tally.lost for tally in self._tallies())
        return min(1.0, (self._once + lost + 1) / (self.seen + 1))

    def score_one(self, x: str) -> float:
        """Surprise of ``x``: 0 when it was seen before, else one minus the probability that something new comes up harmlessly.

        0 before ``grace`` observations. Does not change the learner.
        """
        if self.seen < self.grace or self.knows(x):
            return 0.0
        return 1.0 - self.unseen

    def start_from(self, others: Iterable[Self]) -> None:
        """Begin with the sum of what others know as the base. Only for a learner that knows nothing yet."""
        for other in others:
            for tally in other._tallies():
                self._base = self._base.plus(tally)
        self._epoch = 1
        self._index()

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

    def merge(self, other: Self) -> Self:
        """A new learner that knows what both know. Commutative, associative, idempotent in what is known.

        Of two states of one part the later wins; of two bases the one with the higher epoch; a part that the base has taken in
        is dropped. Raises InvalidInput when there would be more than 64 parts: fold them first.
        """
        merged = type(self)(capacity=self.capacity, grace=self.grace, replica=self.replica)
        newer = max(self, other, key=lambda one: (one._epoch, sorted(one._folded.items()), one._base.order))
        merged._epoch, merged._base, merged._folded = newer._epoch, newer._base.plus(Tally()), dict(newer._folded)
        merged._parts = {}
        for key, part in (*self._parts.items(), *other._parts.items()):
            if key[1] <= merged._folded.get(key[0], 0):
                continue
            rival = merged._parts.get(key)
            if rival is None or part.order > rival.order:
                merged._parts[key] = part.plus(Tally())
        if len(merged._parts) > MAX_PARTS:
            raise InvalidInput("baseline", f"has more than {MAX_PARTS} parts: fold it first")
        merged._index()
        return merged

    def turn(self) -> None:
        """Close this replica's part, so that it can be folded, and go on in the next generation."""
        generation = max(g for r, g in self._parts if r == self.replica)
        if self._own.total:
            self._own = self._parts[self.replica, generation + 1] = Tally()

    def fold(self) -> None:
        """Take every closed part (all but the newest of each replica) into the base, and raise the epoch.

        Only one place may fold: bases are ordered by epoch, not joined.
        """
        newest: dict[str, int] = {}
        for replica, generation in self._parts:
            newest[replica] = max(generation, newest.get(replica, 0))
        closed = sorted(key for key in self._parts if key[1] < newest[key[0]])
        for key in closed:
            self._base = self._base.plus(self._parts.pop(key))
            self._folded[key[0]] = max(key[1], self._folded.get(key[0], 0))
        self._epoch += bool(closed)
        self._index()

    def to_json(self) -> Json:
        """The state as a document. ``from_json`` gives it back."""
        return {
            "epoch": self._epoch,
            "base": self._base.to_json(),
            "folded": dict(sorted(self._folded.items())),
            "parts": [
                {"replica": replica, "generation": generation, **tally.to_json()}
                for (replica, generation), tally in sorted(self._parts.items())
                if tally.total or generation > 1
            ],
        }

    @classmethod
    def from_json(
        cls, document: Json, *, capacity: int = 128, grace: int = 20, replica: str = "local", field: str = "novelty"
    ) -> Self:
        """The learner in a document, going on as ``replica``. Raises InvalidInput."""
        doc = obj(document, field)
        learner = cls(capacity=capacity, grace=grace, replica=replica)
        learner._epoch = whole(doc, "epoch", field)
        learner._base = Tally.from_json(doc.get("base", {}), field + ".base")
        folded = obj(doc.get("folded", {}), field + ".folded")
        learner._folded = {name: whole(folded, name, field + ".folded") for name in folded}
        learner._parts = {}
        for i, item in enumerate(array(doc, "parts", field + ".", limit=MAX_PARTS)):
            place = f"{field}.parts[{i}]"
            part = obj(item, place)
            key = (text(part, "replica", place + ".", limit=256), whole(part, "generation", place))
            learner._parts[key] = Tally.from_json(part, place)
        learner._index()
        return learner
