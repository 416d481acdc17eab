"""What the parts of learners that keep rows have in common: a total, a table of fixed room, and how two become one."""

from __future__ import annotations

from typing import ClassVar, Self

from kaizen_security.contract.action import Json
from kaizen_security.contract.fields import obj
from kaizen_security.observer.learners.parts import number
from kaizen_security.observer.rows import Rows


class RowTable:
    """One replica's part of what is learned. ``ROOM``: rows that are kept; ``CODES``: the type of each column, as of ``array``."""

    __slots__ = ("rows", "total")

    ROOM: ClassVar[int]
    CODES: ClassVar[str]

    def __init__(self) -> None:
        self.rows = Rows(self.ROOM, self.CODES)
        self.total = 0

    @staticmethod
    def joined(one: tuple[float, ...], other: tuple[float, ...]) -> tuple[float, ...]:
        """What two rows of one key come to."""
        raise NotImplementedError

    def plus(self, other: Self) -> Self:
        """What both know together."""
        both = type(self)()
        both.total = self.total + other.total
        both.rows = self.rows.joined(other.rows, self.joined)
        return both

    def to_json(self) -> dict[str, Json]:
        """Its state."""
        return {"total": self.total, "rows": self.rows.to_json()}

    @classmethod
    def from_json(cls, document: Json, field: str) -> Self:
        """Back from a document. Raises InvalidInput."""
        doc = obj(document, field)
        table = cls()
        table.total = number(doc, "total", field)
        table.rows = Rows.from_json(doc.get("rows"), cls.ROOM, cls.CODES, field + ".rows")
        return table
