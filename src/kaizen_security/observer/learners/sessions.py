"""How an agent's runs change from one to the next: small steps that no single run shows.

Of the latest runs three numbers each are kept: how its amounts lie to the usual ones, how much of what it did was new, and how much
it sent. Over each goes a cumulative sum that rises while runs lie clearly above their earlier mean (Page 1954, "Continuous
inspection schemes", Biometrika 41; one-sided as in Hinkley 1971). By how much "clearly" is allows for the mean being an estimate.
While nothing changes the sum reaches ``h`` deviations with a probability of about ``exp(-h)``; what is a deviation is an estimate
too, so half of that is believed. Runs are kept as a set, the latest ones, so what two replicas know is joined by union.
"""

from __future__ import annotations

from math import exp, sqrt
from statistics import fmean, pstdev
from typing import NamedTuple, Self

from kaizen_security.observer.entities import fingerprint
from kaizen_security.observer.learners.shared import Shared
from kaizen_security.observer.learners.table import RowTable

ROOM = 56
"""Runs kept: the latest."""
GRACE = 32
"""Runs before anything is said."""
SLACK = 0.5
CAUTION = 2.0
FLOORS = (0.1, 0.05, 0.25)
"""Least deviation of each stream: of logarithms, of a share, of logarithms."""
MOST = 32.0
"""No number, and no sum, counts as larger."""
STEEPEST = 2.0


class Session(NamedTuple):
    """One run, over at ``at`` (Unix seconds).

    ``amount``  mean distance of its amounts from their usual ones, in logarithms
    ``novelty`` share of the values of its calls that were new
    ``bulk``    logarithm of what it sent, in characters
    """

    at: float
    amount: float
    novelty: float
    bulk: float


STREAMS = ("amount", "novelty", "bulk")


class Table(RowTable):
    """One part: runs by time, the latest first."""

    __slots__ = ()

    ROOM, CODES = ROOM, "fff"

    def learn(self, one: Session) -> None:
        """Take one run."""
        self.total += 1
        at = self.rows.place(_key(one))
        if at >= 0:
            for column, number in zip(self.rows.columns, one[1:], strict=True):
                column[at] = max(-MOST, min(MOST, number))

    @staticmethod
    def joined(one: tuple[float, ...], other: tuple[float, ...]) -> tuple[float, ...]:
        """The one of both: a key is one run."""
        return one

    def stream(self, which: int) -> list[float]:
        """One number of each run, the earliest first."""
        return [float(number) for number in reversed(self.rows.columns[which])]


def _key(one: Session) -> int:
    # The later the smaller, since the smallest keys stay; runs that ended at once are told apart by their numbers.
    stamp = min(max(int(one.at * 16), 0), 2**44 - 1)
    return (2**44 - 1 - stamp) << 20 | fingerprint(repr(one[1:])) & 0xFFFFF


def _at(key: int) -> float:
    return (2**44 - 1 - (key >> 20)) / 16


class Climb(NamedTuple):
    """The cumulative sum of a stream before the next run: its height; mean and deviation of the stream; its fall in each run."""

    height: float
    mean: float
    deviation: float
    slack: float

    def after(self, number: float) -> float:
        """Its height after the next run; 0 when that run does not itself go on with the climb."""
        step = self.step(number)
        return max(0.0, self.height + step) if step > 0 else 0.0

    def step(self, number: float) -> float:
        """What one run adds. One odd run is not a change, so it adds at most ``STEEPEST``."""
        return min((number - self.mean) / self.deviation - self.slack, STEEPEST)


class Sessions(Shared[Table]):
    """The latest runs of one agent."""

    __slots__ = ("_climbs",)

    @classmethod
    def new(cls, replica: str = "local") -> Self:
        """An empty one."""
        return cls(Table, replica)

    def _index(self) -> None:
        super()._index()
        self._climbs: tuple[int, tuple[Climb, ...]] | None = None

    @property
    def latest(self) -> float:
        """When the latest run was over, in Unix seconds; 0.0 when there was none."""
        keys = self.whole.rows.keys
        return _at(keys[0]) if keys else 0.0

    def learn_one(self, x: Session) -> None:
        """Take one run into this replica's part."""
        self.teach(lambda part: part.learn(x))

    def heights(self, x: Session) -> tuple[float, ...]:
        """How high each cumulative sum would stand after ``x``, in deviations; zeros before 32 runs. Changes nothing."""
        if len(self.whole.rows) < GRACE:
            return (0.0,) * len(STREAMS)
        return tuple(climb.after(number) for climb, number in zip(self._before(), x[1:], strict=True))

    def score_one(self, x: Session) -> float:
        """Surprise that runs have come to ``x``, 0 to 1. Changes nothing."""
        return 1.0 - exp(-max(self.heights(x)) / CAUTION)

    def prepare(self) -> None:
        """Work out what ``heights`` starts from, which changes with every run, before anybody waits for it. Changes nothing."""
        if len(self.whole.rows) >= GRACE:
            self._before()

    def _before(self) -> tuple[Climb, ...]:
        # Only kept for the state that it was computed from.
        if self._climbs is None or self._climbs[0] != self.whole.total:
            self._climbs = (
                self.whole.total,
                tuple(_climb(self.whole.stream(n), FLOORS[n]) for n in range(len(STREAMS))),
            )
        return self._climbs[1]


def _climb(stream: list[float], floor: float) -> Climb:
    # What is usual is learned from the earlier half, so that a change in the later one does not hide itself.
    early = stream[: max(GRACE // 2, len(stream) // 2)]
    mean = fmean(early)
    deviation = max(floor, pstdev(early, mean))
    slack = SLACK + 2 / sqrt(len(early))
    height = 0.0
    for number in stream[len(early) :]:
        # As ``Climb.step``. Capped: what is over does not go on counting.
        height = min(MOST, max(0.0, height + min((number - mean) / deviation - slack, STEEPEST)))
    return Climb(height, mean, deviation, slack)
