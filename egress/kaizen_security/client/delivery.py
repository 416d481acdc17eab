"""What everyone who takes reports from a spool to a server has in common: what an answer means for them, and when to try again.

The loops stay with those who wait: a client delivers in the threads of an agent that may fork or end at any moment, a proxy beside
its loop, ``kaizen run`` gives up at once when it ends, and a sidecar first asks whose key it has.
"""

from __future__ import annotations

from enum import Enum

from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import parse


class Fate(Enum):
    """Of the reports of one request: kept by the server, to be sent in smaller parts, never to be kept, to be sent again later."""

    TAKEN = "taken"
    SMALLER = "smaller"
    REFUSED = "refused"
    LATER = "later"


def fate(status: int, reports: int) -> Fate:
    """What an answer of that status means for so many reports. One bad report must not take the others with it."""
    if 200 <= status < 300:
        return Fate.TAKEN
    if status in (400, 413, 422):
        return Fate.SMALLER if reports > 1 else Fate.REFUSED
    return Fate.LATER


def rejected(answer: bytes, reports: int) -> int:
    """How many of the reports an answer of a batch that was taken says are not kept."""
    try:
        document = parse(answer)
    except InvalidInput:
        return 0
    listed = document.get("rejected") if isinstance(document, dict) else None
    return min(len(listed), reports) if isinstance(listed, list) else 0


class Backoff:
    """Pauses in seconds, each twice the one before, from ``first`` to ``longest``."""

    def __init__(self, first: float, longest: float) -> None:
        self.first = first
        self.longest = longest
        self._pause = 0.0

    def next(self) -> float:
        """How long to wait now."""
        self._pause = min(max(self._pause * 2, self.first), self.longest)
        return self._pause

    def reset(self) -> None:
        """It went well."""
        self._pause = 0.0
