"""Where verdicts are sent, and how far that has come: values, and the protocol of the part of a store that keeps them.

There is no second queue. Rows are numbered in the order in which they are committed, so a destination needs only to remember the
last row that it has dealt with: a verdict is on its way with the very commit that acknowledges it, and a kill loses nothing.
A row that was told before it was known which act it is of is entered to be told again by the very commit that joins it (ADR 0029).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from kaizen_security.contract.action import Json
from kaizen_security.store.base import VerdictRow

MAX_EXPORTS = 20
"""Destinations of one organisation: each has a thread of its own."""
MAX_PARKED = 1000
"""Rows put aside for one destination; when there are as many, it waits instead of putting more aside."""
MAX_PENDING = 10_000
"""Up to here rows that wait are counted."""


TOLD_ONCE = frozenset({"slack"})
"""Kinds of destinations that people read as it comes: what they were told of is not told again when it is joined to its act."""


class Which(StrEnum):
    """Which verdicts a destination gets. FLAGS: with findings, or blocked. What a person called a false positive only ALL gets."""

    BLOCKS = "blocks"
    FLAGS = "flags"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A destination as it is kept.

    ``shown``     what may be shown of ``sealed`` (address, names of headers)
    ``sealed``    URL, secret and headers, which only ``exports.vault`` opens
    ``cursor``    the number of the last row that it has dealt with; ``since``: that of the last one before it was made
    ``attempts``  failed ones of the row that is next; ``next_at``: not before; ``problem``: of the last one, ``""`` after a success
    """

    id: str
    organisation: int
    name: str
    kind: str
    which: Which
    sealed: bytes = field(repr=False)
    shown: dict[str, Json] = field(default_factory=dict)
    enabled: bool = True
    created_at: float = 0.0
    cursor: int = 0
    since: int = 0
    attempts: int = 0
    next_at: float = 0.0
    problem: str = ""
    delivered: int = 0
    failures: int = 0
    delivered_at: float = 0.0
    parked: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A row that is to be told. ``joined``: it was told already, before its act was known."""

    row: VerdictRow
    joined: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """A row that a receiver refused again and again, put aside so that the others are not held up. ``again``: to be tried again."""

    verdict_id: str
    reason: str
    parked_at: float
    again: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """How far behind a destination is: rows that wait (counted up to MAX_PENDING), and when the oldest was made (0.0: none)."""

    pending: int
    oldest_at: float


class Exports(Protocol):
    """As of ``store.base.Store``: blocking, from any thread, committed on return; may raise StoreFull, StoreUnavailable."""

    def every(self) -> tuple[Export, ...]: ...
    def of(self, organisation: int) -> tuple[Export, ...]: ...
    def one(self, organisation: int, export_id: str) -> Export | None: ...
    def create(self, export: Export) -> Export: ...
    def change(
        self,
        organisation: int,
        export_id: str,
        *,
        name: str | None = None,
        which: Which | None = None,
        enabled: bool | None = None,
        sealed: bytes | None = None,
        shown: dict[str, Json] | None = None,
    ) -> Export | None: ...
    def delete(self, organisation: int, export_id: str) -> bool: ...
    def waiting(self, export: Export, *, limit: int) -> tuple[Due, ...]: ...
    def lag(self, export: Export) -> Lag: ...
    def delivered(self, export_id: str, rows: Sequence[VerdictRow], *, at: float) -> None: ...
    def left(self, export_id: str, verdict_ids: Sequence[str]) -> None: ...
    def failed(self, export_id: str, *, problem: str, next_at: float) -> None: ...
    def park(self, export_id: str, verdict_ids: Sequence[str], *, reason: str, at: float) -> bool: ...
    def parked(self, organisation: int, export_id: str, *, limit: int) -> tuple[Parked, ...]: ...
    def unpark(self, organisation: int, export_id: str) -> int: ...
