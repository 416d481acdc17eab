"""Habits: what the values of an agent's calls normally are, learned from runs in which nothing was flagged.

Kept are hashes and small counts, no text: which values were ever used where, which field fed which argument, which words of
a request
go with which tools. Every table has a fixed room. Sets keep the smallest hashes, so that joining them is a union: commutative,
associative, idempotent. Counts are joined by their maximum, which has the same laws but counts what two replicas learned apart only
once: a merged state is as strict as the more experienced replica, never looser.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import log
from typing import Self

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import array as array_of
from kaizen_security.contract.fields import obj
from kaizen_security.observer.entities import fingerprint


class Few:
    """A set of hashes that holds at most ``room``: the smallest ones. Union is its merge."""

    __slots__ = ("_kept", "room", "turned")

    def __init__(self, room: int, kept: Iterable[int] = ()) -> None:
        self.room = room
        self.turned = 0
        self._kept = array("Q", sorted(set(kept))[:room])

    def __contains__(self, one: int) -> bool:
        at = bisect_left(self._kept, one)
        return at < len(self._kept) and self._kept[at] == one

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterable[int]:
        return iter(self._kept)

    def add(self, one: int) -> None:
        """Put it in; when there is no room, the largest goes."""
        at = bisect_left(self._kept, one)
        if at < len(self._kept) and self._kept[at] == one:
            return
        self._kept.insert(at, one)
        if len(self._kept) > self.room:
            self._kept.pop()
            self.turned += 1

    def merge(self, other: Few) -> Few:
        """The union."""
        return Few(self.room, (*self._kept, *other._kept))

    def to_json(self) -> Json:
        """As text: 16 hexadecimal digits each."""
        return "".join(f"{one:016x}" for one in self._kept)

    @classmethod
    def from_json(cls, document: Json, room: int, name: str) -> Few:
        """Back from text. Raises InvalidInput."""
        if not isinstance(document, str) or len(document) % 16 or len(document) > room * 16:
            raise InvalidInput(name, f"must be at most {room} hashes")
        try:
            return cls(room, (int(document[at : at + 16], 16) for at in range(0, len(document), 16)))
        except ValueError as err:
            raise InvalidInput(name, "must be hexadecimal") from err


MOST = 65_535


class Counts:
    """Counts in a fixed number of cells, by hash: never too small, now and then too large. The maximum is its merge."""

    __slots__ = ("_cells",)

    def __init__(self, cells: int) -> None:
        self._cells = array("H", bytes(2 * cells))

    def __getitem__(self, one: int) -> int:
        return self._cells[one % len(self._cells)]

    def add(self, one: int) -> None:
        """Count one more."""
        at = one % len(self._cells)
        if self._cells[at] < MOST:
            self._cells[at] += 1

    def merge(self, other: Counts) -> Counts:
        """Cell by cell, the larger."""
        merged = Counts(len(self._cells))
        merged._cells = array("H", map(max, self._cells, other._cells))
        return merged

    def to_json(self) -> Json:
        """The cells that are not 0, as ``[cell, count, …]``."""
        flat: list[Json] = []
        for at, count in enumerate(self._cells):
            if count:
                flat += [at, count]
        return flat

    @classmethod
    def from_json(cls, document: Json, cells: int, name: str) -> Counts:
        """Back from a list. Raises InvalidInput."""
        counts = cls(cells)
        if not isinstance(document, list) or len(document) % 2 or len(document) > 2 * cells:
            raise InvalidInput(name, "must be a list of cells and counts")
        numbers = [one for one in document if type(one) is int]
        if len(numbers) != len(document):
            raise InvalidInput(name, "must be whole numbers")
        for at, count in zip(numbers[::2], numbers[1::2], strict=True):
            if not 0 <= at < cells or not 0 <= count <= MOST:
                raise InvalidInput(name, "is out of range")
            counts._cells[at] = count
        return counts


@dataclass(frozen=True, slots=True)
class Deed:
    """What one call teaches: hashes only. ``words`` are those of its tool and short arguments."""

    tool: str
    slots: tuple[int, ...]
    values: tuple[int, ...]
    flows: tuple[int, ...]
    words: tuple[int, ...]
    step: int
    fields: tuple[int, ...] = ()


ROOM: Mapping[str, int] = {"slots": 1536, "values": 1024, "flows": 512, "steps": 256, "ratified": 256}
CELLS: Mapping[str, int] = {"words": 2048, "pairs": 4096, "asked": 1024, "filled": 256, "fresh": 256}
MOST_TOOLS = 96
WANDERING = 12
"""Values of an argument before it can be said that they are mostly new."""
MOST_REQUESTS = 64
YOUNG = 10
"""Runs before scores count: the first ones are all new."""
MOST_SCORES = 64

SKETCH = 24
"""Words kept of a request: those with the smallest hashes."""

Request = tuple[frozenset[int], frozenset[str]]


@dataclass(slots=True)
class Habits:
    """``runs`` and ``calls`` learned; ``scored`` runs were scored before they were learned, ``highest`` are their highest scores.

    ``tools``  in how many runs each was used; ``often``: most times in one run
    ``ratified``  acts (``question.signature``) that a person called normal
    """

    runs: int = 0
    calls: int = 0
    scored: int = 0
    highest: list[float] = field(default_factory=list)
    tools: dict[str, int] = field(default_factory=dict)
    often: dict[str, int] = field(default_factory=dict)
    requests: dict[frozenset[int], frozenset[str]] = field(default_factory=dict)
    slots: Few = field(default_factory=lambda: Few(ROOM["slots"]))
    values: Few = field(default_factory=lambda: Few(ROOM["values"]))
    flows: Few = field(default_factory=lambda: Few(ROOM["flows"]))
    steps: Few = field(default_factory=lambda: Few(ROOM["steps"]))
    ratified: Few = field(default_factory=lambda: Few(ROOM["ratified"]))
    words: Counts = field(default_factory=lambda: Counts(CELLS["words"]))
    pairs: Counts = field(default_factory=lambda: Counts(CELLS["pairs"]))
    asked: Counts = field(default_factory=lambda: Counts(CELLS["asked"]))
    filled: Counts = field(default_factory=lambda: Counts(CELLS["filled"]))
    fresh: Counts = field(default_factory=lambda: Counts(CELLS["fresh"]))

    def learn(self, request: Sequence[str], deeds: Sequence[Deed], score: float | None = None) -> None:
        """One run in which nothing was flagged. ``score``: the highest of its calls, given before this run was learned."""
        if score is not None and self.runs >= YOUNG:
            self.scored += 1
            self.highest = sorted((*self.highest, round(score, 4)), reverse=True)[:MOST_SCORES]
        self.runs += 1
        used: dict[str, int] = {}
        for deed in deeds:
            self._deed(deed)
            used[deed.tool] = used.get(deed.tool, 0) + 1
        asked = sorted({fingerprint(word) for word in request})
        for word in asked:
            self.asked.add(word)
        for tool, times in used.items():
            self._tool(tool, times, asked)
        sketch = frozenset(asked[:SKETCH])
        if sketch in self.requests or len(self.requests) < MOST_REQUESTS:
            self.requests[sketch] = self.requests.get(sketch, frozenset()) | frozenset(used)

    def _deed(self, deed: Deed) -> None:
        self.calls += 1
        for slot, name in zip(deed.slots, deed.fields, strict=False):
            self.filled.add(name)
            if slot not in self.slots:
                self.fresh.add(name)
        for table, found in ((self.slots, deed.slots), (self.values, deed.values), (self.flows, deed.flows)):
            for one in found:
                table.add(one)
        for word in deed.words:
            self.words.add(word)
        self.steps.add(deed.step)

    def _tool(self, tool: str, times: int, asked: Sequence[int]) -> None:
        if tool in self.tools or len(self.tools) < MOST_TOOLS:
            self.tools[tool] = self.tools.get(tool, 0) + 1
            self.often[tool] = max(times, self.often.get(tool, 0))
        mark = fingerprint(tool)
        for word in asked:
            self.pairs.add(word ^ mark)

    def wanders(self, name: int) -> bool:
        """Whether the values of an argument are new more often than not: then that one is new says nothing."""
        filled = self.filled[name]
        return filled >= WANDERING and 2 * self.fresh[name] >= filled

    def weight(self, word: int) -> float:
        """How much a word of a call tells: the rarer in calls, the more. From 0."""
        return max(0.0, log((self.calls + 2) / (self.words[word] + 0.5)))

    def goes_with(self, request: Sequence[str]) -> dict[str, float]:
        """For each known tool, the highest share of past runs with one word of the request that used it, 0 to 1."""
        found: dict[str, float] = {}
        marks = [(word, self.asked[word]) for word in map(fingerprint, request)]
        for tool, runs in self.tools.items():
            base = (runs + 0.5) / (self.runs + 1)
            mark = fingerprint(tool)
            best = 0.0
            for word, asked in marks:
                if asked:
                    best = max(best, (min(self.pairs[word ^ mark], asked) + base) / (asked + 1))
            found[tool] = best
        return found

    def alike(self, request: Sequence[str]) -> dict[str, float]:
        """For each tool, how alike the most alike past request that led to it is, 0 to 1 (Jaccard index of the sketches)."""
        words = frozenset(sorted({fingerprint(word) for word in request})[:SKETCH])
        found: dict[str, float] = {}
        for sketch, tools in self.requests.items():
            union = len(words | sketch)
            share = len(words & sketch) / union if union else 0.0
            for tool in tools:
                if share > found.get(tool, 0.0):
                    found[tool] = share
        return found

    def merge(self, other: Habits) -> Habits:
        """What both know. Commutative, associative, idempotent while no table is full."""
        requests = dict(self.requests)
        for sketch, tools in other.requests.items():
            requests[sketch] = requests.get(sketch, frozenset()) | tools
        kept = sorted(requests, key=sorted)[:MOST_REQUESTS]
        return Habits(
            runs=max(self.runs, other.runs),
            calls=max(self.calls, other.calls),
            scored=max(self.scored, other.scored),
            highest=max((self.scored, self.highest), (other.scored, other.highest))[1],
            tools=_most(self.tools, other.tools),
            often=_most(self.often, other.often),
            requests={sketch: requests[sketch] for sketch in kept},
            slots=self.slots.merge(other.slots),
            values=self.values.merge(other.values),
            flows=self.flows.merge(other.flows),
            steps=self.steps.merge(other.steps),
            ratified=self.ratified.merge(other.ratified),
            words=self.words.merge(other.words),
            pairs=self.pairs.merge(other.pairs),
            asked=self.asked.merge(other.asked),
            filled=self.filled.merge(other.filled),
            fresh=self.fresh.merge(other.fresh),
        )

    def to_json(self) -> Json:
        """The whole state."""
        names = sorted(self.tools)
        return {
            "runs": self.runs,
            "calls": self.calls,
            "scored": self.scored,
            "highest": list(self.highest),
            "tools": [[name, self.tools[name], self.often.get(name, 1)] for name in names],
            "requests": [
                ["".join(f"{one:016x}" for one in sorted(sketch)), *sorted(self.requests[sketch])]
                for sketch in sorted(self.requests, key=sorted)
            ],
            **{name: getattr(self, name).to_json() for name in (*ROOM, *CELLS)},
        }

    @classmethod
    def from_json(cls, document: Json, name: str = "habits") -> Self:
        """Back from a document. Raises InvalidInput naming the field."""
        doc = obj(document, name)
        found = cls()
        if not doc:
            return found
        found.runs, found.calls, found.scored = (_count(doc, key, name) for key in ("runs", "calls", "scored"))
        for item in array_of(doc, "highest", name + ".", limit=MOST_SCORES):
            if isinstance(item, bool) or not isinstance(item, (int, float)):
                raise InvalidInput(name + ".highest", "must be numbers")
            found.highest.append(float(item))
        for item in array_of(doc, "tools", name + ".", limit=MOST_TOOLS):
            if not isinstance(item, list) or len(item) != 3 or not isinstance(item[0], str):
                raise InvalidInput(name + ".tools", "must be lists of a name and two counts")
            row = {"runs": item[1], "often": item[2]}
            found.tools[item[0]] = _count(row, "runs", name + ".tools")
            found.often[item[0]] = _count(row, "often", name + ".tools")
        for item in array_of(doc, "requests", name + ".", limit=MOST_REQUESTS):
            if not isinstance(item, list) or not all(isinstance(one, str) for one in item) or not item:
                raise InvalidInput(name + ".requests", "must be lists of hashes and tools")
            words, *tools = (str(one) for one in item)
            sketch = Few.from_json(words, SKETCH, name + ".requests")
            found.requests[frozenset(sketch)] = frozenset(tools[:MOST_TOOLS])  # type: ignore[call-overload]
        for table, room in ROOM.items():
            setattr(found, table, Few.from_json(doc.get(table, ""), room, f"{name}.{table}"))
        for table, cells in CELLS.items():
            setattr(found, table, Counts.from_json(doc.get(table, []), cells, f"{name}.{table}"))
        return found


def _count(doc: Mapping[str, Json], key: str, name: str) -> int:
    value = doc.get(key, 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**63:
        raise InvalidInput(f"{name}.{key}", "must be a whole number from 0")
    return value


def _most(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    both = {name: max(one.get(name, 0), other.get(name, 0)) for name in {*one, *other}}
    kept = sorted(both, key=lambda name: (-both[name], name))[:MOST_TOOLS]
    return {name: both[name] for name in sorted(kept)}
