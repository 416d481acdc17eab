"""How large the numbers are that an agent normally works with: amounts, calls and bytes of one run, parties of one call.

Kept for each key are only sums of logarithms, so that parts of replicas add up exactly. A number is surprising when it lies above
the largest harmless one and, in standard deviations of the logarithm, far above their mean. The tail is taken as exponential there,
which in the numbers themselves is a power law: the heaviest that amounts usually have (Clauset, Shalizi and Newman 2009, "Power-law
distributions in empirical data", SIAM Review 51). So the probability that a harmless number lies ``z`` deviations out is at
most ``exp(-z)``, and the score is one minus that.
"""

from __future__ import annotations

from math import exp, expm1, log, log1p, sqrt
from typing import NamedTuple, Self

from kaizen_security.observer.learners.shared import Shared
from kaizen_security.observer.learners.table import RowTable

UNIT = 1024
"""Steps of one unit of the natural logarithm."""
FLOOR = 0.15
"""No spread is taken as smaller, in logarithms: at a tolerance of 1 in 100 nothing below twice the mean is large."""
GRACE = 12
"""Numbers of one key before it can be said that another one is large."""
ROOM = 64
LARGEST = 1e18


_CEILING = 2**62


class Amount(NamedTuple):
    """A number from 0 under a key (a 64-bit hash). ``floor`` is the least spread that it is judged with, in logarithms."""

    key: int
    number: float
    floor: float = FLOOR


class Usual(NamedTuple):
    """What is known of a key: how many numbers, their geometric mean, the largest, and the largest that passes."""

    seen: int
    mean: float
    most: float
    bound: float


class Table(RowTable):
    """One part: number, sum of logarithms, sum of their squares, largest."""

    __slots__ = ()

    ROOM, CODES = ROOM, "Iqqq"

    def learn(self, one: Amount) -> None:
        """Take one number."""
        self.total += 1
        at = self.rows.place(one.key)
        if at < 0:
            return
        size = _size(one.number)
        count, first, second, most = self.rows.columns
        count[at] = min(count[at] + 1, 2**31)
        first[at] = min(first[at] + size, _CEILING)
        second[at] = min(second[at] + size * size, _CEILING)
        most[at] = max(most[at], size)

    def sums(self, key: int) -> float | None:
        """About how much all numbers of a key come to: as many as there were, of their geometric mean. None when it is not kept."""
        at = self.rows.find(key)
        if at < 0:
            return None
        count, first, *_ = self.rows.row(at)
        return count * expm1(first / count / UNIT)

    @staticmethod
    def joined(one: tuple[float, ...], other: tuple[float, ...]) -> tuple[float, ...]:
        """The sum of two."""
        return (
            min(one[0] + other[0], 2**31),
            min(one[1] + other[1], _CEILING),
            min(one[2] + other[2], _CEILING),
            max(one[3], other[3]),
        )


def _size(number: float) -> int:
    return round(log1p(min(max(number, 0.0), LARGEST)) * UNIT)


class Size(Shared[Table]):
    """Numbers by key."""

    __slots__ = ()

    @classmethod
    def new(cls, replica: str = "local") -> Self:
        """An empty one."""
        return cls(Table, replica)

    def learn_one(self, x: Amount) -> None:
        """Take one number into this replica's part."""
        self.teach(lambda part: part.learn(x))

    def score_one(self, x: Amount) -> float:
        """Surprise of a number, 0 to 1: 0 up to the largest that was harmless, 0 before 12 of its key. Changes nothing."""
        known = self._known(x.key, x.floor)
        size = _size(x.number)
        if known is None or size <= known[3]:
            return 0.0
        _, mean, spread, _ = known
        return 1.0 - exp(-max(0.0, size - mean) / spread)

    def ratio(self, x: Amount) -> float | None:
        """How far a number lies above the geometric mean of its key, in logarithms; None before 12 of them."""
        known = self._known(x.key, x.floor)
        return None if known is None else (_size(x.number) - known[1]) / UNIT

    def usual(self, key: int, tolerance: float, floor: float = FLOOR) -> Usual | None:
        """What is usual under a key; None before 12 numbers."""
        known = self._known(key, floor)
        if known is None:
            return None
        seen, mean, spread, most = known
        bound = max(most, mean - spread * log(tolerance))
        return Usual(seen, expm1(mean / UNIT), expm1(most / UNIT), expm1(bound / UNIT))

    def _known(self, key: int, floor: float) -> tuple[int, float, float, int] | None:
        rows = self.whole.rows
        at = rows.find(key)
        if at < 0:
            return None
        columns = rows.columns
        count = int(columns[0][at])
        if count < GRACE:
            return None
        mean = int(columns[1][at]) / count
        variance = max(0.0, int(columns[2][at]) / count - mean * mean) * count / (count - 1)
        return count, mean, max(floor * UNIT, sqrt(variance * (1 + 1 / count))), int(columns[3][at])

    def poisoning(self, key: int, tolerance: float, *, factor: float = 2.0, most: int = 10_000) -> int | None:
        """How many crafted numbers, each as large as passes unflagged, multiply the bound by ``factor``.

        None before it speaks; ``most`` when it takes more than that.
        """
        start = self.usual(key, tolerance)
        if start is None:
            return None
        copy = self._like()
        copy._base = self.whole.plus(Table())
        copy._index()
        for crafted in range(1, most + 1):
            bound = copy.usual(key, tolerance)
            assert bound is not None
            copy.learn_one(Amount(key, bound.bound * 0.999))
            after = copy.usual(key, tolerance)
            assert after is not None
            if after.bound >= factor * start.bound:
                return crafted
        return most
