"""Pace: how many requests a second one side may send."""

from __future__ import annotations

from kaizen_security.mcp.frames import Limits


class Pace:
    """A token bucket: ``rate`` a second, ``burst`` at once."""

    def __init__(self, limits: Limits) -> None:
        self._rate, self._burst = limits.rate, limits.burst
        self._left, self._at = limits.burst, 0.0

    def takes(self, now: float) -> bool:
        """Whether there is a token left at ``now``, which is taken then."""
        self._left = min(self._burst, self._left + max(0.0, now - self._at) * self._rate)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
