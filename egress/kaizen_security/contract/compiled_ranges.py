"""Address ranges of many owners: one bisection says "in none of them", a few dictionary look-ups say in whose."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from kaizen_security.contract.compiled_rules import Range

_WIDTH = {4: 32, 6: 128}


class Ranges:
    """Ranges of one address family, each with its owner (a policy's number)."""

    __slots__ = ("_by_length", "_firsts", "_lasts", "_width")

    def __init__(self, family: int, owned: Iterable[tuple[Range, int]]) -> None:
        self._width = _WIDTH[family]
        by_length: dict[int, dict[int, tuple[int, ...]]] = {}
        spans = []
        for span, owner in owned:
            if span.family != family:
                continue
            prefixes = by_length.setdefault(span.length, {})
            key = span.first >> self._width - span.length
            owners = prefixes.get(key, ())
            if owner not in owners:
                prefixes[key] = (*owners, owner)
            spans.append((span.first, span.last))
        self._by_length = sorted(by_length.items())
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in sorted(spans, key=lambda span: (span[0], -span[1])):
            # CIDR ranges are nested or apart, so the outermost ones say all.
            if not self._lasts or first > self._lasts[-1]:
                self._firsts.append(first)
                self._lasts.append(last)

    def find(self, value: int) -> Sequence[tuple[int, int]]:
        """``(owner, prefix length)`` of every range that holds ``value``, the widest first."""
        at = bisect_right(self._firsts, value) - 1
        if at < 0 or value > self._lasts[at]:
            return ()
        found: list[tuple[int, int]] = []
        for length, prefixes in self._by_length:
            found += [(owner, length) for owner in prefixes.get(value >> self._width - length, ())]
        return found

    def holds(self, value: int) -> bool:
        """Whether any range holds ``value``."""
        at = bisect_right(self._firsts, value) - 1
        return at >= 0 and value <= self._lasts[at]

    def __bool__(self) -> bool:
        return bool(self._firsts)
