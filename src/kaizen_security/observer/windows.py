"""Windows of neighbouring sentences, and how much of a call's words stands in each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping


class Windows:
    """Which words of one call stand in which sentences: a bit for each, in their order, looked up where it matters."""

    __slots__ = ("_ask", "_masks", "_order", "_spots", "_weights")

    def __init__(self, words: Mapping[int, float], spots: Callable[[int], list[int]]) -> None:
        self._order = list(words)
        self._weights = words
        self._ask = spots
        self._spots: list[list[int]] = []
        self._masks: dict[int, int] = {}

    def mask(self, spot: int) -> int:
        found = self._masks.get(spot)
        if found is None:
            if not self._spots:
                self._spots = [self._ask(word) for word in self._order]
            found = 0
            for bit, spots in enumerate(self._spots):
                if spot in spots:
                    found |= 1 << bit
            self._masks[spot] = found
        return found

    def around(self, spot: int, beside: int) -> Iterable[int]:
        c = self.mask(spot)
        if not beside:
            return (c,)
        a, b, d, e = [self.mask(spot + at) if beside >> at + 2 & 1 else 0 for at in (-2, -1, 1, 2)]
        return dict.fromkeys((a | b | c, b | c | d, c | d | e))

    def weight(self, mask: int) -> float:
        total = 0.0
        while mask:
            low = mask & -mask
            total += self._weights[self._order[low.bit_length() - 1]]
            mask ^= low
        return total

    def words(self, mask: int) -> frozenset[int]:
        return frozenset(word for bit, word in enumerate(self._order) if mask >> bit & 1)
