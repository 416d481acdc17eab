"""Scores: as how high an agent's last few hundred runs count (``score.counted``): what its own threshold is made of.

Scores of an agent's first runs are high, since everything in them is new; so they are forgotten by windows.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import Self

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput

WINDOW = 256
"""Runs of one window; the present one and the one before are looked at."""

ROOM = 32
"""Highest scores kept of each window: enough for a budget of one in ten."""


def _highest(scores: Iterable[float]) -> array[float]:
    return array("d", sorted(scores, reverse=True)[:ROOM])


class Scores:
    """Counts and highest scores of two windows."""

    __slots__ = ("_counts", "_highest", "_together")

    def __init__(self) -> None:
        self._counts = [0, 0]
        self._highest = [_highest(()), _highest(())]
        self._together: array[float] | None = None

    def __len__(self) -> int:
        return sum(self._counts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scores) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]

    def add(self, score: float) -> None:
        """The highest score of one more run."""
        if self._counts[0] >= WINDOW:
            self._counts = [0, self._counts[0]]
            self._highest = [_highest(()), self._highest[0]]
        self._counts[0] += 1
        self._together = None
        self._highest[0] = _highest((*self._highest[0], round(score, 4)))

    def exceeded_by(self, budget: float) -> float:
        """The score that at most this share (0 to 0.1) of the runs exceeded; minus infinity when there are none."""
        if self._together is None:
            self._together = array("d", sorted(self._highest[0] + self._highest[1], reverse=True))
        highest = self._together
        return highest[min(int(len(self) * budget), len(highest) - 1)] if highest else float("-inf")

    def plus(self, other: Scores) -> Scores:
        """The runs of both: window by window."""
        found = Scores()
        found._counts = [one + two for one, two in zip(self._counts, other._counts, strict=True)]
        both = zip(self._highest, other._highest, strict=True)
        found._highest = [_highest((*one, *two)) for one, two in both]
        return found

    def to_json(self) -> Json:
        """For each window its count and its scores, the present one first."""
        return [[count, *highest] for count, highest in zip(self._counts, self._highest, strict=True)]

    @classmethod
    def from_json(cls, document: Json, name: str) -> Self:
        """Back from a document. Raises InvalidInput."""
        found = cls()
        if document in (None, []):
            return found
        if not isinstance(document, list) or len(document) != 2:
            raise InvalidInput(name, "must be two lists")
        for window, items in enumerate(document):
            if not isinstance(items, list) or not items or len(items) > ROOM + 1:
                raise InvalidInput(name, f"must be lists of a count and at most {ROOM} scores")
            numbers = [one for one in items if isinstance(one, (int, float)) and not isinstance(one, bool)]
            count = numbers[0] if numbers else -1
            if len(numbers) != len(items) or not isinstance(count, int) or not len(items) - 1 <= count < 2**63:
                raise InvalidInput(name, "must be a count and as many scores at the most")
            found._counts[window] = count
            found._highest[window] = _highest(map(float, numbers[1:]))
        return found
