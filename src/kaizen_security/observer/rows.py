"""Rows: numbers by hash in a fixed number of rows, column by column, so that size does not depend on what was put in.

When there is no room the rows with the smallest hashes stay. Which these are does not depend on the order in which keys came, so
joining what two replicas kept gives what one place would have kept, and a flood of new keys drives out only what hashes above it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator
from itertools import pairwise

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.observer.rooms import pack, unpack


class Rows:
    """At most ``room`` rows. ``codes`` are the array types of the columns beside the key; ``turned`` counts what had no room."""

    __slots__ = ("_codes", "columns", "keys", "room", "turned")

    def __init__(self, room: int, codes: str) -> None:
        self.room = room
        self.turned = 0
        self._codes = codes
        self.keys = array("Q")
        self.columns: list[array[float]] = [array(code) for code in codes]

    def __len__(self) -> int:
        return len(self.keys)

    def find(self, key: int) -> int:
        """The row's place, -1 when it is not kept."""
        at = bisect_left(self.keys, key)
        return at if at < len(self.keys) and self.keys[at] == key else -1

    def place(self, key: int) -> int:
        """The row's place, a row of zeros when it is new; -1 when there is no room for it."""
        at = bisect_left(self.keys, key)
        if at < len(self.keys) and self.keys[at] == key:
            return at
        if len(self.keys) >= self.room:
            self.turned += 1
            if at >= self.room:
                return -1
            self.keys.pop()
            for column in self.columns:
                column.pop()
        self.keys.insert(at, key)
        for column in self.columns:
            column.insert(at, 0)
        return at

    def row(self, at: int) -> tuple[float, ...]:
        """The numbers at a place."""
        return tuple(column[at] for column in self.columns)

    def items(self) -> Iterator[tuple[int, tuple[float, ...]]]:
        """Each key with its numbers."""
        return ((key, self.row(at)) for at, key in enumerate(self.keys))

    def joined(self, other: Rows, join: Callable[[tuple[float, ...], tuple[float, ...]], tuple[float, ...]]) -> Rows:
        """The rows of both; ``join`` makes one of two with the same key."""
        both = Rows(self.room, self._codes)
        for key in sorted({*self.keys, *other.keys})[: self.room]:
            mine, theirs = self.find(key), other.find(key)
            if mine < 0 or theirs < 0:
                row = self.row(mine) if theirs < 0 else other.row(theirs)
            else:
                row = join(self.row(mine), other.row(theirs))
            both.keys.append(key)
            for column, one in zip(both.columns, row, strict=True):
                column.append(one)
        return both

    def to_json(self) -> Json:
        """The columns as text, the keys first."""
        return [pack(self.keys), *map(pack, self.columns)]

    @classmethod
    def from_json(cls, document: Json, room: int, codes: str, name: str) -> Rows:
        """Back from columns. Raises InvalidInput naming the field."""
        rows = cls(room, codes)
        if document is None:
            return rows
        if not isinstance(document, list) or len(document) != 1 + len(codes):
            raise InvalidInput(name, f"must be {1 + len(codes)} columns")
        keys, *columns = (unpack(one, code, room, name) for one, code in zip(document, "Q" + codes, strict=True))
        if any(len(column) != len(keys) for column in columns):
            raise InvalidInput(name, "must be columns of one length")
        if any(not a < b for a, b in pairwise(keys)):
            raise InvalidInput(name, "must have its keys in order, each once")
        if any(not abs(one) < float("inf") for column in columns for one in column):
            raise InvalidInput(name, "must be finite numbers")
        rows.keys, rows.columns = keys, columns
        return rows
