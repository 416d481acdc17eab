"""Shares: how many of the proxy's connections one peer may have. Pure."""

from __future__ import annotations

from collections import Counter

from kaizen_security.contract.shares import peer, permits


class Shares:
    """By peer (``contract.shares``)."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    def permit(self, address: str, free: int) -> bool:
        """Whether one more is within the peer's share while ``free`` places are left."""
        return permits(self._taken[peer(address)], free)

    def take(self, address: str) -> None:
        """It has one more."""
        self._taken[peer(address)] += 1

    def give(self, address: str) -> None:
        """It has ended."""
        name = peer(address)
        self._taken[name] -= 1
        if self._taken[name] <= 0:
            del self._taken[name]
