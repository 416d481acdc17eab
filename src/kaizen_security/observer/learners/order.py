"""In which order an agent normally does things: what followed what, by the last one and by the last two.

A Markov model of variable order: the longest context that is known well enough decides, and what never followed there is handed
down to the shorter one (escape, as in prediction by partial matching: Cleary and Witten 1984, IEEE Transactions on
Communications 32). How likely a harmless new successor is, is estimated as for novelty (Good 1953): by how many were seen exactly
once. So an agent that goes about its work in ever new ways keeps it quiet. Each step counts once a run, however often it came.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple, Self

from kaizen_security.observer.learners.shared import Shared
from kaizen_security.observer.learners.table import RowTable

ROOM = 28
"""Contexts."""
NEXT = 6
"""Successors of one context that are told apart: those with the smallest marks. Beyond, the context says nothing."""
GRACE = 20
DEPTH = 2
CODES = "H" * NEXT + "I" * NEXT + "I"

START = 1
"""What stands before the first."""

Walk = tuple[int, ...]


class Followed(NamedTuple):
    """What is known of a context: runs that came by, those with this successor, successors seen once."""

    seen: int
    same: int
    once: int
    wanders: bool

    @property
    def unseen(self) -> float:
        """Probability that a harmless run goes on in a way that was never seen here, if this one does: (0, 1]."""
        return (self.once + 1) / (self.seen + 1)


def mark(symbol: int) -> int:
    """16 bits of a 64-bit hash, never 0."""
    return symbol & 0xFFFF or 1


@lru_cache(maxsize=4096)
def context(before: Walk) -> int:
    """The hash of what came before."""
    return int.from_bytes(blake2b(repr(tuple(map(mark, before))).encode(), digest_size=8).digest(), "big")


def steps(walk: Walk) -> Iterable[tuple[int, int]]:
    """Each context with what followed, for contexts of one and of two."""
    line = (START, *walk)
    for at in range(1, len(line)):
        for depth in range(1, DEPTH + 1):
            if at - depth >= 0:
                yield context(line[at - depth : at]), mark(line[at])


class Table(RowTable):
    """One part."""

    __slots__ = ("_known",)

    ROOM, CODES = ROOM, CODES

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[int, tuple[dict[float, float], int, int, bool]] = {}

    def learn(self, followed: Iterable[tuple[int, int]]) -> None:
        """Take the steps of one run, each of them once."""
        self.total += 1
        self._known = {}
        for key, symbol in sorted(set(followed)):
            at = self.rows.place(key)
            if at >= 0:
                self._write(at, self.joined(self.rows.row(at), (symbol, *[0] * (NEXT - 1), 1, *[0] * (NEXT - 1), 0)))

    def _write(self, at: int, row: tuple[float, ...]) -> None:
        for column, number in zip(self.rows.columns, row, strict=True):
            column[at] = number

    @staticmethod
    def joined(one: tuple[float, ...], other: tuple[float, ...]) -> tuple[float, ...]:
        """What follows a context in both; of too many successors the rest is a number."""
        counts: dict[float, float] = {}
        rest = one[2 * NEXT] + other[2 * NEXT]
        for row in (one, other):
            for symbol, count in zip(row[:NEXT], row[NEXT : 2 * NEXT], strict=True):
                if symbol:
                    counts[symbol] = counts.get(symbol, 0) + count
        kept = sorted(counts)[:NEXT]
        rest += sum(count for symbol, count in counts.items() if symbol not in kept)
        empty = [0] * (NEXT - len(kept))
        return (*kept, *empty, *(min(counts[symbol], 2**30) for symbol in kept), *empty, min(rest, 2**30))

    def followed(self, key: int, symbol: int) -> Followed | None:
        """What is known of a context and one successor; None when the context is not kept."""
        # Kept until something is learned, and only for the few contexts that are.
        if key in self._known:
            known = self._known[key]
        else:
            at = self.rows.find(key)
            if at < 0:
                return None
            known = self._known[key] = self._read(at)
        counts, seen, once, wanders = known
        return Followed(seen, int(counts.get(symbol, 0)), once, wanders)

    def _read(self, at: int) -> tuple[dict[float, float], int, int, bool]:
        row = self.rows.row(at)
        counts = dict(zip(row[:NEXT], row[NEXT : 2 * NEXT], strict=True))
        counts.pop(0, None)
        rest = row[2 * NEXT]
        once = sum(count == 1 for count in counts.values())
        return counts, int(sum(counts.values()) + rest), once, rest > 0


class Order(Shared[Table]):
    """Orders of one agent's runs."""

    __slots__ = ()

    @classmethod
    def new(cls, replica: str = "local") -> Self:
        """An empty one."""
        return cls(Table, replica)

    def learn_one(self, x: Walk) -> None:
        """Take one run: what it did, in order (64-bit hashes)."""
        self.learn_steps(steps(x))

    def learn_steps(self, followed: Iterable[tuple[int, int]]) -> None:
        """Take the steps of one run, as contexts with what followed."""
        once = tuple(followed)
        self.teach(lambda part: part.learn(once))

    def score_one(self, x: Walk, *, first: bool = True) -> float:
        """Surprise of the last of ``x`` after those before it, 0 to 1; 0 where the contexts are not known well. Changes nothing.

        ``first``  nothing came before ``x``
        """
        line = (START, *x) if first else x
        likely, spoke = 1.0, False
        for depth in range(min(DEPTH, len(line) - 1), 0, -1):
            known = self.whole.followed(context(line[-1 - depth : -1]), mark(line[-1]))
            if known is None or known.seen < GRACE:
                continue
            if known.wanders:
                return 0.0
            spoke = True
            if known.same:
                likely *= known.same / known.seen
                break
            likely *= known.unseen
        return 1.0 - likely if spoke else 0.0
