"""State that several replicas add to: a base with an epoch, and one part for each replica and generation.

A replica only ever adds to its own part, and a part is known by who made it. So the same part may arrive in any order and any
number of times and counts once: joining is commutative, associative and idempotent, and what is read is the sum of the parts,
which is what one place would have learned.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Generic, Protocol, Self, TypeVar

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import array, obj, text
from kaizen_security.observer.rooms import LONGEST

MAX_PARTS = 64
"""Replicas and generations that one state may hold before they have to be folded."""


class Part(Protocol):
    """What is learned by one replica in one generation. ``total`` only grows, so it tells an earlier state from a later one."""

    @property
    def total(self) -> int:
        """Observations in it."""
        ...

    def plus(self, other: Self) -> Self:
        """The sum of two, as a new one."""
        ...

    def to_json(self) -> dict[str, Json]:
        """Its state."""
        ...


P = TypeVar("P", bound=Part)
Key = tuple[str, int]


class Parted(Generic[P]):
    """``make`` gives an empty part. Two live replicas of one agent must have different names."""

    __slots__ = ("_base", "_epoch", "_folded", "_make", "_others", "_own", "_parts", "replica")

    def __init__(self, make: Callable[[], P], replica: str = "local") -> None:
        self.replica = replica
        self._make = make
        self._epoch = 0
        self._base: P | None = None
        self._folded: dict[str, int] = {}
        self._parts: dict[Key, P] = {}
        self._index()

    def _index(self) -> None:
        newest = max((g for r, g in self._parts if r == self.replica), default=self._folded.get(self.replica, 0) + 1)
        self._own = self._parts.setdefault((self.replica, newest), self._make())
        others = [part for _, part in sorted(self._parts.items()) if part is not self._own]
        self._others = tuple(part for part in (self._base, *others) if part is not None and part.total)
        self._sum_up()

    def _sum_up(self) -> None:
        """Other parts are there than before: whatever is kept of all of them is made anew."""
        raise NotImplementedError

    def parts(self) -> Iterator[P]:
        """Everything that was learned: this replica's part first."""
        yield self._own
        yield from self._others

    def start_from(self, others: Iterable[P]) -> None:
        """Begin with the sum of what others know as the base. Only for a learner that knows nothing yet."""
        for other in others:
            self._base = other.plus(self._make()) if self._base is None else self._base.plus(other)
        self._epoch = 1
        self._index()

    def merge(self, other: Self) -> Self:
        """A new one that knows what both know, and goes on as this replica. Raises InvalidInput beyond 64 parts: fold them first.

        Of two states of one part the later wins; of two bases the one with the higher epoch; a part that the base has taken in
        is dropped.
        """
        merged = self._like()
        newer = max(self, other, key=lambda one: (one._epoch, sorted(one._folded.items()), _order(one._base)))
        merged._epoch, merged._folded = newer._epoch, dict(newer._folded)
        merged._base = newer._base
        merged._parts = {}
        for key, part in (*self._parts.items(), *other._parts.items()):
            if key[1] <= merged._folded.get(key[0], 0):
                continue
            rival = merged._parts.get(key)
            if rival is None or _order(part) > _order(rival):
                merged._parts[key] = part.plus(self._make())
        if len(merged._parts) > MAX_PARTS:
            raise InvalidInput("baseline", f"has more than {MAX_PARTS} parts: fold it first")
        merged._index()
        return merged

    def _like(self) -> Self:
        """An empty one of the same settings."""
        raise NotImplementedError

    def turn(self) -> None:
        """Close this replica's part, so that it can be folded, and go on in the next generation."""
        generation = max(g for r, g in self._parts if r == self.replica)
        if self._own.total:
            self._parts[self.replica, generation + 1] = self._make()
            self._index()

    def fold(self) -> None:
        """Take every closed part (all but the newest of each replica) into the base, and raise the epoch.

        Only one place may fold: bases are ordered by epoch, not joined.
        """
        newest: dict[str, int] = {}
        for replica, generation in self._parts:
            newest[replica] = max(generation, newest.get(replica, 0))
        closed = sorted(key for key in self._parts if key[1] < newest[key[0]])
        for key in closed:
            part = self._parts.pop(key)
            self._base = part if self._base is None else self._base.plus(part)
            self._folded[key[0]] = max(key[1], self._folded.get(key[0], 0))
        self._epoch += bool(closed)
        self._index()

    def to_json(self) -> Json:
        """The state as a document."""
        document: dict[str, Json] = {"epoch": self._epoch} if self._epoch else {}
        if self._base is not None and self._base.total:
            document["base"] = self._base.to_json()
        if self._folded:
            document["folded"] = dict(sorted(self._folded.items()))
        document["parts"] = [
            {"replica": replica, "generation": generation, **part.to_json()}
            for (replica, generation), part in sorted(self._parts.items())
            if part.total or generation > 1
        ]
        return document

    def load(self, document: Json, read: Callable[[Json, str], P], field: str) -> None:
        """Take the state from a document; ``read`` gives a part back. Raises InvalidInput naming the field."""
        doc = obj({} if document is None else document, field)
        self._epoch = number(doc, "epoch", field)
        self._base = read(doc["base"], field + ".base") if "base" in doc else None
        folded = obj(doc.get("folded", {}), field + ".folded")
        self._folded = {name: number(folded, name, field + ".folded") for name in folded}
        self._parts = {}
        for i, item in enumerate(array(doc, "parts", field + ".", limit=MAX_PARTS)):
            place = f"{field}.parts[{i}]"
            part = obj(item, place)
            key = (text(part, "replica", place + ".", limit=256), number(part, "generation", place))
            self._parts[key] = read(item, place)
        self._index()


def _order(part: Part | None) -> tuple[int, str]:
    if part is None:
        return 0, ""
    # The text decides between clones that should not exist.
    return part.total, json.dumps(part.to_json(), sort_keys=True)


def number(document: Mapping[str, Json], key: str, field: str) -> int:
    """The whole number from 0 under ``key``. Raises InvalidInput."""
    value = document.get(key, 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise InvalidInput(f"{field}.{key[:LONGEST]}", "must be a whole number from 0")
    return value
