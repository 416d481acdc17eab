"""Data hidden in the labels of DNS names: how many bytes of names nobody asked for before an agent sends below one domain.

A tunnel over DNS needs a fresh name for every piece, and all of them below one domain, which its server answers for. A program
that looks up what it needs asks for few names below a domain, again and again. What is counted is bounded: when there is no room
for another domain, newcomers share one.
"""

from __future__ import annotations

from collections import OrderedDict

from kaizen_security.contract.finding import Finding
from kaizen_security.egress.budgets import Bucket

MAX_DOMAINS = 4096
MAX_NAMES = 16384
"""Names that are remembered as asked for before; the oldest goes first, and then counts as new again."""
LONG = 150
"""Bytes below the domain in one name that no directory of real hosts has."""
WINDOW = 3600.0


def domain(name: str) -> str:
    """What somebody registers: the last two labels, three where the second is short and the last a country's (``co.uk``)."""
    parts = name.split(".")
    keep = 3 if len(parts) > 2 and len(parts[-1]) == 2 and len(parts[-2]) <= 3 else 2
    return ".".join(parts[-keep:])


class Labels:
    """``limit``: bytes in an hour, of one agent below one domain."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._asked: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._buckets: dict[tuple[str, str], Bucket] = {}
        self.shared = 0

    def see(self, agent: str, name: str, now: float) -> Finding | None:
        """One more name (``now`` seconds): the finding that there is too much in such names."""
        parent = domain(name)
        size = len(name) - len(parent)
        if not self._limit or size <= 0 or name.endswith(".arpa"):
            return None
        if (agent, name) in self._asked:
            self._asked.move_to_end((agent, name))
            return None
        self._asked[agent, name] = None
        if len(self._asked) > MAX_NAMES:
            self._asked.popitem(last=False)
        enough = self._bucket((agent, parent), now).take(size, now)
        if enough and size < LONG:
            return None
        what = f"{size} bytes in one name" if enough else f"more than {self._limit} bytes in new names within an hour"
        return Finding(
            kind="data in dns labels",
            value=parent,
            source="egress",
            detection="egress-dns-labels",
            field="target",
            expected="few names below a domain, asked for again and again",
            observed=what,
            advice="Find out what asks for these names; block the domain if nobody knows.",
            attack="blocked-host",
        )

    def _bucket(self, key: tuple[str, str], now: float) -> Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= MAX_DOMAINS:
                self.shared += 1
                key = ("", "")
                if key in self._buckets:
                    return self._buckets[key]
            bucket = self._buckets[key] = Bucket(self._limit, WINDOW, now)
        return bucket
