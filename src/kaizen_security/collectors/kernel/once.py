"""What is new within a window of time: an agent can do the same thing without end, and each is reported once, and else counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

WINDOW = 1.0
"""Seconds within which the same deed on the same target is reported once, and counted as often as it happened."""


class Once:
    """Up to ``most`` different keys of each kind in a window; further ones are counted as ``lost``.

    An agent can have a flood of one kind for nothing; so it hides nothing of another. ``at`` in seconds of any clock.
    """

    def __init__(self, most: int, *, repeated: str, lost: str, window: float = WINDOW) -> None:
        self.counts: Counter[str] = Counter()
        self._most = most
        self._repeated = repeated
        self._lost = lost
        self._window = window
        self._began = 0.0
        self._known: dict[Hashable, set[Hashable]] = {}

    def turn(self, at: float) -> bool:
        """Whether a window has begun."""
        if at - self._began < self._window:
            return False
        self._began = at
        self._known.clear()
        return True

    def full(self, kind: Hashable) -> bool:
        """Whether this window has no room for another one of that kind."""
        return len(self._known.get(kind, ())) >= self._most

    def new(self, kind: Hashable, key: Hashable, at: float) -> bool:
        """Whether it is the first in its window, and has room."""
        self.turn(at)
        known = self._known.setdefault(kind, set())
        if key in known:
            self.repeat()
            return False
        if len(known) >= self._most:
            self.lose()
            return False
        known.add(key)
        return True

    def repeat(self) -> None:
        """Count one that was there in this window."""
        self.counts[self._repeated] += 1

    def lose(self) -> None:
        """Count one for which there is no room."""
        self.counts[self._lost] += 1
