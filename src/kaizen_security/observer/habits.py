"""Habits: what the values of an agent's calls normally are, learned from runs in which nothing was flagged.

Kept are hashes and small counts, no text: which values were ever used where, which field fed which argument, which words of a
request go with which tools. Every table has a fixed room. Sets keep the smallest hashes, so that joining them is a union; counts
add up. So the parts of several replicas give what one place would have learned (``learners.parts``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import log
from typing import Self

from kaizen_security.contract.action import Json
from kaizen_security.contract.fields import obj
from kaizen_security.observer.counts import Counts
from kaizen_security.observer.entities import fingerprint
from kaizen_security.observer.learners.parts import number
from kaizen_security.observer.rooms import Few, Requests, Tools
from kaizen_security.observer.scores import Scores


@dataclass(frozen=True, slots=True)
class Deed:
    """What one call teaches: hashes only. ``words`` are those of its tool and short arguments.

    ``unasked``  the request does not ask for what the tool does; None where that says nothing
    """

    tool: str
    slots: tuple[int, ...]
    values: tuple[int, ...]
    flows: tuple[int, ...]
    words: tuple[int, ...]
    fields: tuple[int, ...] = ()
    unasked: bool | None = None


ROOM: Mapping[str, int] = {"slots": 768, "values": 576, "flows": 256, "ratified": 96, "unasked": 20}
CELLS: Mapping[str, int] = {"words": 1024, "filled": 192, "fresh": 192}
"""Together with the rooms of ``baseline`` chosen so that a full baseline stays within 64 KB, in memory and as a document."""
MOST_TOOLS = 64
MOST_OFFERED = 24
MOST_ASKED = 20
WANDERING = 12
"""Values of an argument before it can be said that they are mostly new."""
MOST_REQUESTS = 32
MOST_WEIGHTS = 512
"""Words whose weight is remembered until the next run is learned."""
YOUNG = 10
"""Runs before scores count: the first ones are all new."""


@dataclass(slots=True)
class Habits:
    """``runs`` and ``calls`` learned; ``scores`` of the runs that were scored before they were learned.

    ``tools``     in how many runs each was used
    ``offered``   in how many runs the agent declared a tool that changes something, used or not
    ``asked``     in how many runs the user asked for what a tool does that cannot be taken back; ``unasked``: those used without
    ``ratified``  acts that a person called normal, and their tools (``ratified.marks``)
    """

    runs: int = 0
    calls: int = 0
    scores: Scores = field(default_factory=Scores)
    tools: Tools = field(default_factory=lambda: Tools(MOST_TOOLS))
    offered: Tools = field(default_factory=lambda: Tools(MOST_OFFERED))
    asked: Tools = field(default_factory=lambda: Tools(MOST_ASKED))
    requests: Requests = field(default_factory=lambda: Requests(MOST_REQUESTS))
    slots: Few = field(default_factory=lambda: Few(ROOM["slots"]))
    values: Few = field(default_factory=lambda: Few(ROOM["values"]))
    flows: Few = field(default_factory=lambda: Few(ROOM["flows"]))
    ratified: Few = field(default_factory=lambda: Few(ROOM["ratified"]))
    unasked: Few = field(default_factory=lambda: Few(ROOM["unasked"]))
    words: Counts = field(default_factory=lambda: Counts(CELLS["words"]))
    filled: Counts = field(default_factory=lambda: Counts(CELLS["filled"]))
    fresh: Counts = field(default_factory=lambda: Counts(CELLS["fresh"]))
    _weights: dict[int, float] = field(default_factory=dict, compare=False, repr=False)

    def learn(
        self, request: Sequence[str], deeds: Sequence[Deed], score: float | None = None, offered: Sequence[int] = ()
    ) -> None:
        """One run in which nothing was flagged. ``score``: the highest of its calls, given before this run was learned.

        ``offered``: hashes of the tools that it could have used to change something.
        """
        if score is not None:
            self.scores.add(score)
        self.runs += 1
        for deed in deeds:
            self._deed(deed)
        for tool, unasked in {(deed.tool, deed.unasked) for deed in deeds if deed.unasked is not None}:
            if unasked:
                self.unasked.add(fingerprint(tool))
            else:
                self.asked.add(fingerprint(tool))
        used = sorted({fingerprint(deed.tool) for deed in deeds})
        asked = sorted({fingerprint(word) for word in request})
        for mark in used:
            self.tools.add(mark)
        for mark in offered:
            self.offered.add(mark)
        self.requests.add(asked, used)

    def _deed(self, deed: Deed) -> None:
        self.calls += 1
        self._weights = {}
        for slot, name in zip(deed.slots, deed.fields, strict=False):
            self.filled.add(name)
            if slot not in self.slots:
                self.fresh.add(name)
        for table, found in ((self.slots, deed.slots), (self.values, deed.values), (self.flows, deed.flows)):
            for one in found:
                table.add(one)
        for word in deed.words:
            self.words.add(word)

    def wanders(self, name: int) -> bool:
        """Whether the values of an argument are new more often than not: then that one is new says nothing."""
        filled = self.filled[name]
        return filled >= WANDERING and 2 * self.fresh[name] >= filled

    def asked_for(self, tool: str) -> int:
        """In how many runs the tool was used and the request asked for it; 0 when it was ever used without."""
        one = fingerprint(tool)
        # With all room taken nobody knows which tools are left out.
        return 0 if one in self.unasked or len(self.unasked) >= ROOM["unasked"] else self.asked[one]

    def weigh(self, words: Mapping[str, int]) -> dict[int, float]:
        """How much each word of a call tells, by its hash in this process: the rarer in calls, the more. From 0."""
        calls, count, known = self.calls + 2, self.words, self._weights
        found = {}
        for word, mark in words.items():
            weight = known.get(mark)
            if weight is None:
                weight = max(0.0, log(calls / (count[mark] + 0.5)))
                if len(known) < MOST_WEIGHTS:
                    known[mark] = weight
            found[hash(word)] = weight
        return found

    def alike(self, request: Sequence[str]) -> dict[int, float]:
        """For each tool (16 bits of its fingerprint), how alike the most alike past request that led to it is, 0 to 1.

        The Jaccard index of the sketches.
        """
        words = Requests.sketch(map(fingerprint, request))
        found: dict[int, float] = {}
        for sketch, tools in self.requests:
            union = len(words | sketch)
            share = len(words & sketch) / union if union else 0.0
            for tool in tools:
                if share > found.get(tool, 0.0):
                    found[tool] = share
        return found

    @property
    def total(self) -> int:
        """Runs learned, and what is kept of acts that a person called normal."""
        return self.runs + len(self.ratified)

    def plus(self, other: Habits) -> Habits:
        """What both know. It is what learning both here gives, but for ``fresh``: what each met first counts twice."""
        return Habits(
            runs=self.runs + other.runs,
            calls=self.calls + other.calls,
            scores=self.scores.plus(other.scores),
            tools=self.tools.plus(other.tools),
            offered=self.offered.plus(other.offered),
            asked=self.asked.plus(other.asked),
            requests=self.requests.merge(other.requests),
            slots=self.slots.merge(other.slots),
            values=self.values.merge(other.values),
            flows=self.flows.merge(other.flows),
            ratified=self.ratified.merge(other.ratified),
            unasked=self.unasked.merge(other.unasked),
            words=self.words.plus(other.words),
            filled=self.filled.plus(other.filled),
            fresh=self.fresh.plus(other.fresh),
        )

    def to_json(self) -> dict[str, Json]:
        """The whole state."""
        return {
            "runs": self.runs,
            "calls": self.calls,
            "scores": self.scores.to_json(),
            "tools": self.tools.to_json(),
            "offered": self.offered.to_json(),
            "asked": self.asked.to_json(),
            "requests": self.requests.to_json(),
            **{name: getattr(self, name).to_json() for name in (*ROOM, *CELLS)},
        }

    @classmethod
    def from_json(cls, document: Json, name: str = "habits") -> Self:
        """Back from a document. Raises InvalidInput naming the field."""
        doc = obj(document, name)
        found = cls()
        if not doc:
            return found
        found.runs, found.calls = (number(doc, key, name) for key in ("runs", "calls"))
        found.scores = Scores.from_json(doc.get("scores"), name + ".scores")
        found.tools = Tools.from_json(doc.get("tools", []), MOST_TOOLS, name + ".tools")
        found.offered = Tools.from_json(doc.get("offered", []), MOST_OFFERED, name + ".offered")
        found.asked = Tools.from_json(doc.get("asked", []), MOST_ASKED, name + ".asked")
        found.requests = Requests.from_json(doc.get("requests", []), MOST_REQUESTS, name + ".requests")
        for table, room in ROOM.items():
            setattr(found, table, Few.from_json(doc.get(table, ""), room, f"{name}.{table}"))
        for table, cells in CELLS.items():
            setattr(found, table, Counts.from_json(doc.get(table, ""), cells, f"{name}.{table}"))
        return found
