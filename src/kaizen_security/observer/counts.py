"""Counts by hash in a fixed number of cells: those that are never too small, and those that are never too large."""

from __future__ import annotations

from array import array
from typing import Self

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.observer.rooms import MOST, pack, unpack


class Counts:
    """Counts in a fixed number of cells, by hash: never too small, now and then too large. They take no room before the first."""

    __slots__ = ("_cells", "room")

    def __init__(self, room: int) -> None:
        self.room = room
        self._cells = array("H")

    def __getitem__(self, one: int) -> int:
        return self._cells[one % self.room] if self._cells else 0

    def add(self, one: int) -> None:
        """Count one more, up to 65,535."""
        if not self._cells:
            self._cells = array("H", bytes(2 * self.room))
        at = one % self.room
        if self._cells[at] < MOST:
            self._cells[at] += 1

    def plus(self, other: Counts) -> Counts:
        """Cell by cell, the sum."""
        both = Counts(self.room)
        cells = zip(self._cells, other._cells, strict=True) if self._cells and other._cells else ()
        both._cells = array("H", (min(a + b, MOST) for a, b in cells)) or (self._cells or other._cells)[:]
        return both

    def to_json(self) -> Json:
        """As text; nothing when nothing was counted."""
        return pack(self._cells)

    @classmethod
    def from_json(cls, document: Json, room: int, name: str) -> Self:
        """Back from text. Raises InvalidInput."""
        counts = cls(room)
        counts._cells = unpack(document, "H", room, name)
        if len(counts._cells) not in (0, room):
            raise InvalidInput(name, f"must be {room} counts")
        return counts


class Owned(Counts):
    """Counts that are never too large: too small where several share a cell, which the most frequent of them holds.

    A cell is 6 bits of its holder's hash and a count up to 1,023; another's addition takes one away (Boyer and Moore 1981).
    """

    __slots__ = ()

    def __getitem__(self, one: int) -> int:
        cell = super().__getitem__(one)
        return cell & 1023 if cell >> 10 == _tag(one) else 0

    def add(self, one: int) -> None:
        """Count one more, up to 1,023."""
        if not self._cells:
            self._cells = array("H", bytes(2 * self.room))
        at = one % self.room
        self._cells[at] = _joined(self._cells[at], _tag(one) << 10 | 1)

    def plus(self, other: Counts) -> Owned:
        """Cell by cell: the sum where both have one holder, else what the larger has over the smaller."""
        both = Owned(self.room)
        cells = zip(self._cells, other._cells, strict=True) if self._cells and other._cells else ()
        both._cells = array("H", (_joined(a, b) for a, b in cells)) or (self._cells or other._cells)[:]
        return both


def _tag(one: int) -> int:
    return one >> 40 & 63


def _joined(a: int, b: int) -> int:
    less, more = sorted((a, b), key=lambda cell: (cell & 1023, cell))
    if not less & 1023:
        return more if more & 1023 else 0
    if less >> 10 == more >> 10:
        return more & ~1023 | min(1023, (more & 1023) + (less & 1023))
    over = (more & 1023) - (less & 1023)
    return more & ~1023 | over if over else 0
