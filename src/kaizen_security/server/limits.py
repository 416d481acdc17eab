"""How many requests a second one API key, and one address, may send: token buckets, in a table whose size is bounded."""

from __future__ import annotations

from collections import Counter, OrderedDict

from kaizen_security.contract.shares import peer
from kaizen_security.runtime.clock import Clock
from kaizen_security.server.http import too_many

BURST_SECONDS = 10.0
"""A bucket holds what its rate comes to in that time."""
REMEMBERED = 8192
"""Buckets of each kind; of more, those that were used least lately are forgotten, which fills them."""


class Buckets:
    """``rate`` tokens a second into each bucket, up to ``BURST_SECONDS`` of them; a rate of 0 is no limit."""

    def __init__(self, rate: float, *, size: int = REMEMBERED) -> None:
        self.rate = rate
        self.burst = max(1.0, rate * BURST_SECONDS)
        self.forgotten = 0
        self._size = size
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, name: str, now: float) -> float:
        """Take a token: 0.0, or the seconds until there is one."""
        if not self.rate:
            return 0.0
        tokens, at = self._buckets.get(name, (self.burst, now))
        tokens = min(self.burst, tokens + max(0.0, now - at) * self.rate)
        wait = 0.0 if tokens >= 1.0 else (1.0 - tokens) / self.rate
        self._buckets[name] = (tokens if wait else tokens - 1.0, now)
        self._buckets.move_to_end(name)
        if len(self._buckets) > self._size:
            self._buckets.popitem(last=False)
            self.forgotten += 1
        return wait


class Limits:
    """Both limits of a server. ``by_key`` and ``by_address`` are requests a second, 0 for no limit."""

    def __init__(self, clock: Clock, *, by_key: float, by_address: float) -> None:
        self._clock = clock
        self._keys = Buckets(by_key)
        self._addresses = Buckets(by_address)
        self.refused: Counter[tuple[str]] = Counter()

    def key(self, key_id: str) -> None:
        """Count a request of a key. Raises ApiError (429)."""
        wait = self._keys.take(key_id, self._clock())
        if wait:
            self.refused["key",] += 1
            raise too_many("this API key sends more requests than it may; report in batches, or raise --rate-key", wait)

    def address(self, address: str) -> None:
        """Count a request from an address. Raises ApiError (429)."""
        wait = self._addresses.take(peer(address), self._clock())
        if wait:
            self.refused["address",] += 1
            raise too_many("more requests come from this address than may; raise --rate-address", wait)
