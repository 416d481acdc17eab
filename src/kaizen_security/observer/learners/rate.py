"""How much flows to one place, and how often one tool is used, over time: decayed sums by key, with event time given.

Each key has a quick sum, which has forgotten half after a day, and a slow one, which has forgotten half after two weeks. If work
goes on as it always did, the quick sum is a fixed share of the slow one, give or take what its lumps make of it: for lumps that
come independently its variance is half the quick memory times the mean square that comes in a unit of time (Campbell 1909, shot
noise). So what leaves slowly, or split over many runs that each look small, adds up here. Decayed sums of replicas add up exactly.
"""

from __future__ import annotations

from math import exp, log, sqrt
from typing import NamedTuple, Self

from kaizen_security.observer.learners.shared import Shared
from kaizen_security.observer.learners.table import RowTable

DAY = 86_400.0
QUICK = DAY / log(2)
SLOW = 14 * DAY / log(2)
"""Seconds in which the sums forget all but a part in e."""
ROOM = 28
GRACE = 20
"""Observations of a key before anything is said of it."""
AGE = 5 * DAY
"""Time since the first of them, the same."""
FACTOR = 8.0
"""Less than this many times the expected flow is not too much: a month's end, or the day after an outage, is several usual days."""
LARGEST = 1e15


class Flow(NamedTuple):
    """``amount`` from 0 under ``key`` (a 64-bit hash) at ``at`` (Unix seconds)."""

    key: int
    amount: float
    at: float


class Level(NamedTuple):
    """What flowed lately under a key, with the asked amount, and what was to be expected; both in units of a day."""

    now: float
    expected: float
    deviations: float


class Table(RowTable):
    """One part. Columns: observations, time of the first and of the latest, quick sum, slow sum, slow sum of squares."""

    __slots__ = ()

    ROOM, CODES = ROOM, "Iddddd"

    def learn(self, one: Flow) -> None:
        """Take what flowed."""
        self.total += 1
        at = self.rows.place(one.key)
        if at < 0:
            return
        amount = min(max(one.amount, 0.0), LARGEST)
        fresh = (1, one.at, one.at, amount, amount, amount * amount)
        old = self.rows.row(at)
        for column, number in zip(self.rows.columns, self.joined(old, fresh) if old[0] else fresh, strict=True):
            column[at] = number

    @staticmethod
    def joined(one: tuple[float, ...], other: tuple[float, ...]) -> tuple[float, ...]:
        """The sum of two."""
        latest = max(one[2], other[2])
        quick, slow, square = (
            one[column] * exp((one[2] - latest) / memory) + other[column] * exp((other[2] - latest) / memory)
            for column, memory in ((3, QUICK), (4, SLOW), (5, SLOW))
        )
        return min(one[0] + other[0], 2**31), min(one[1], other[1]), latest, quick, slow, square


class Rate(Shared[Table]):
    """Flows by key."""

    __slots__ = ()

    @classmethod
    def new(cls, replica: str = "local") -> Self:
        """An empty one."""
        return cls(Table, replica)

    @property
    def latest(self) -> float:
        """When something last flowed, in Unix seconds; 0.0 when nothing ever did."""
        return max(self.whole.rows.columns[2], default=0.0)

    def learn_one(self, x: Flow) -> None:
        """Take what flowed into this replica's part."""
        self.teach(lambda part: part.learn(x))

    def level(self, x: Flow) -> Level | None:
        """What flowed lately with ``x`` on top, and what was to be expected; None before 20 observations over five days."""
        rows = self.whole.rows
        at = rows.find(x.key)
        if at < 0:
            return None
        count, first, latest, quick, slow, square = rows.row(at)
        age = latest - first
        if count < GRACE or age < AGE:
            return None
        # While nothing comes in both sums fade; what is usual is what it was when something last did. Of that only what is older
        # than the quick memory counts, or what leaves slowly would make itself usual. A memory that is not full yet holds less.
        span = SLOW * (1.0 - exp(-age / SLOW))
        expected = (slow - quick) / (span - QUICK * (1.0 - exp(-age / QUICK))) * QUICK
        variance = square / span * QUICK / 2
        quick = quick * exp((latest - max(x.at, latest)) / QUICK) + max(0.0, x.amount)
        return Level(quick, expected, (quick - expected) / sqrt(variance) if variance > 0 else 0.0)

    def score_one(self, x: Flow) -> float:
        """Surprise that ``x`` comes on top of what flowed lately, 0 to 1; 0 below 8 times what was to be expected."""
        level = self.level(x)
        if level is None or level.now < FACTOR * level.expected:
            return 0.0
        return 1.0 - exp(-max(0.0, level.deviations))
