"""Behaviour: what an agent's conduct normally is, as learners of sizes and rates over its runs.

One attribute of a baseline. Every learner adds up over replicas exactly (``learners.parts``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import log1p
from typing import Self

from kaizen_security.contract.action import Json
from kaizen_security.contract.fields import obj
from kaizen_security.observer.conduct import MOST_STEPS, Conduct, Figure, Sums, Trait
from kaizen_security.observer.entities import fingerprint
from kaizen_security.observer.learners.order import Order, context, mark, steps
from kaizen_security.observer.learners.order import Table as Orders
from kaizen_security.observer.learners.rate import Flow, Rate
from kaizen_security.observer.learners.rate import Table as Rates
from kaizen_security.observer.learners.sessions import Session, Sessions
from kaizen_security.observer.learners.sessions import Table as Runs
from kaizen_security.observer.learners.size import Amount, Size
from kaizen_security.observer.learners.size import Table as Sizes

LUMPS = 0.5
"""Least spread of calls and bytes of one run, in logarithms: at a tolerance of 1 in 100 few is what is below ten times the mean."""
MOST_CRAFTED = 1000
PARTIES = 0.35
"""The same of addressees: five times."""


def amounts(trait: Trait) -> list[Amount]:
    """The numbers of one action: its figures by tool and field, and its addressees."""
    found = [amount(trait.tool, one) for one in trait.figures]
    if trait.parties:
        found.append(parties(trait))
    return found


def amount(tool: int, figure: Figure) -> Amount:
    """A number among the arguments of a tool."""
    return Amount(_argument(tool, figure.field), figure.number)


@lru_cache(maxsize=1024)
def _argument(tool: int, field: str) -> int:
    return fingerprint(f"{tool:x}|{field}")


def parties(trait: Trait) -> Amount:
    """How many addressees the action has."""
    return Amount(trait.tool ^ _PARTIES, trait.parties, PARTIES)


def calls(tool: int, times: int) -> Amount:
    """How often one run used a tool."""
    return Amount(tool ^ _CALLS, times, LUMPS)


def sent(place: int, size: int) -> Amount:
    """How much one run sent to a place."""
    return Amount(place ^ _SENT, size, LUMPS)


def flow(place: int, size: int, at: float) -> Flow:
    """How much went to a place at a time."""
    return Flow(place, size, at)


_PARTIES, _CALLS, _SENT = map(fingerprint, ("addressees of one call", "calls of one run", "sent in one run"))


SENSITIVE = context((fingerprint("sensitive read"),))
"""The context of what a run connects to after it has read something sensitive."""
NOWHERE = 1
"""The successor of a run that connects nowhere after that."""


def afterwards(conduct: Conduct) -> Iterator[tuple[int, int]]:
    """Where a run connected after it had read something sensitive."""
    read, reached = False, False
    for trait in conduct.done:
        if trait.outward and read:
            reached = True
            yield SENSITIVE, mark(trait.place)
        read = read or trait.sensitive
    if read and not reached:
        yield SENSITIVE, NOWHERE


def _session(sums: Sums, novelty: float, at: float) -> Session:
    return Session(at, sums.ratios / sums.number if sums.number else 0.0, novelty, log1p(sums.sent))


class Behaviour:
    """``size`` of numbers, ``rate`` of flows over time, ``order`` of actions, ``sessions``: how runs change."""

    __slots__ = ("order", "rate", "replica", "sessions", "size")

    def __init__(self, replica: str = "local") -> None:
        self.replica = replica
        self.size = Size.new(replica)
        self.rate = Rate.new(replica)
        self.order = Order.new(replica)
        self.sessions = Sessions.new(replica)

    def learn(self, conduct: Conduct, at: float) -> None:
        """One run in which nothing was flagged, or a lone action. Only what has completed counts."""
        if conduct.walk:
            # Before the amounts are learned with which they are compared.
            self.sessions.learn_one(self.session(conduct.done, conduct.novelty, at))
        times: Counter[int] = Counter()
        bulk: Counter[int] = Counter()
        for trait in conduct.done:
            times[trait.tool] += 1
            if trait.place:
                bulk[trait.place] += trait.sent
            for one in amounts(trait):
                self.size.learn_one(one)
        for tool, count in times.items():
            self.size.learn_one(calls(tool, count))
        for place, size in bulk.items():
            self.size.learn_one(sent(place, size))
            self.rate.learn_one(flow(place, size, at))
        walk = tuple(trait.tool for trait in conduct.done)[:MOST_STEPS]
        self.order.learn_steps((*steps(walk), *afterwards(conduct)))

    @property
    def latest(self) -> float:
        """The time of the latest thing that it learned, in Unix seconds; 0.0 for one that learned nothing."""
        return max(self.rate.latest, self.sessions.latest)

    def session(self, done: Sequence[Trait], novelty: float, at: float) -> Session:
        """What a run looks like beside the others."""
        return _session(self._added(Sums(), done), novelty, at)

    def going_on(self, conduct: Conduct, trait: Trait, at: float) -> Session:
        """What a run would look like with one more action."""
        return _session(self._added(self.add_up(conduct), (trait,)), conduct.novelty, at)

    def add_up(self, conduct: Conduct) -> Sums:
        """What the completed actions of a run add up to. What was added up before is gone on with, as long as nothing was learned
        in between.
        """
        table, total = self.size.whole, self.size.whole.total
        known = conduct.sums
        if known is None or known.of is not table or known.total != total or known.traits > len(conduct.done):
            known = Sums(table, total)
        if len(conduct.done) > known.traits or conduct.sums is not known:
            conduct.sums = known = self._added(known, conduct.done[known.traits :])
        return known

    def _added(self, sums: Sums, done: Sequence[Trait]) -> Sums:
        ratios, number, sent = sums.ratios, sums.number, sums.sent
        for trait in done:
            sent += trait.sent
            for one in amounts(trait):
                ratio = self.size.ratio(one)
                if ratio is not None:
                    ratios += ratio
                    number += 1
        return Sums(sums.of, sums.total, sums.traits + len(done), ratios, number, sent)

    def start_from(self, others: Sequence[Behaviour]) -> None:
        """Begin with what others know. Only for one that knows nothing yet."""
        self.size.start_from(other.size.whole for other in others)
        self.rate.start_from(other.rate.whole for other in others)
        self.order.start_from(other.order.whole for other in others)
        self.sessions.start_from(other.sessions.whole for other in others)

    def poisoning(self, tolerance: float) -> dict[str, int | None]:
        """How many crafted, unflagged numbers it takes to double what passes: of the kind of number that is the easiest to move.

        ``known``  kinds of which enough numbers were learned; each is tried, with at most ``MOST_CRAFTED`` numbers
        """
        size = self.size
        keys = [key for key in size.whole.rows.keys if size.usual(key, tolerance) is not None]
        costs = [size.poisoning(key, tolerance, most=MOST_CRAFTED) for key in keys]
        return {"known": len(keys), "doubling": min((cost for cost in costs if cost is not None), default=None)}

    def merge(self, other: Behaviour) -> Behaviour:
        """What both know; goes on as ``self.replica``."""
        merged = Behaviour(self.replica)
        merged.size = self.size.merge(other.size)
        merged.rate = self.rate.merge(other.rate)
        merged.order = self.order.merge(other.order)
        merged.sessions = self.sessions.merge(other.sessions)
        return merged

    def turn(self) -> None:
        """Close this replica's parts, so that they can be folded."""
        self.size.turn()
        self.rate.turn()
        self.order.turn()
        self.sessions.turn()

    def fold(self) -> None:
        """Take every closed part into the base. Only one place may do that."""
        self.size.fold()
        self.rate.fold()
        self.order.fold()
        self.sessions.fold()

    def to_json(self) -> dict[str, Json]:
        """The whole state."""
        return {
            "size": self.size.to_json(),
            "rate": self.rate.to_json(),
            "order": self.order.to_json(),
            "sessions": self.sessions.to_json(),
        }

    @classmethod
    def from_json(cls, document: Json, field: str, *, replica: str = "local") -> Self:
        """Back from a document, going on as ``replica``. Raises InvalidInput naming the field."""
        doc = obj({} if document is None else document, field)
        behaviour = cls(replica)
        behaviour.size.load(doc.get("size"), Sizes.from_json, field + ".size")
        behaviour.rate.load(doc.get("rate"), Rates.from_json, field + ".rate")
        behaviour.order.load(doc.get("order"), Orders.from_json, field + ".order")
        behaviour.sessions.load(doc.get("sessions"), Runs.from_json, field + ".sessions")
        return behaviour
