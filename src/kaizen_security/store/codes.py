"""Closed sets as small integers, and the ids of rows. Numbers are never reused: rows of any age are read with this table."""

from __future__ import annotations

import hashlib
import re

from kaizen_security.contract.verdict import Decision, Severity
from kaizen_security.store.base import Origin, Status

DECISIONS = (Decision.ALLOW, Decision.BLOCK)
SEVERITIES = (Severity.INFO, Severity.LOW, Severity.MEDIUM, Severity.HIGH)
STATUSES = (Status.OPEN, Status.ACKNOWLEDGED, Status.RESOLVED, Status.FALSE_POSITIVE)
ORIGINS = (Origin.CLAIM, Origin.OBSERVER, Origin.SERVER)

DECISION_CODE = {value: code for code, value in enumerate(DECISIONS)}
SEVERITY_CODE = {value: code for code, value in enumerate(SEVERITIES)}
STATUS_CODE = {value: code for code, value in enumerate(STATUSES)}
ORIGIN_CODE = {value: code for code, value in enumerate(ORIGINS)}

_EPOCH_MS = 1_577_836_800_000
_PUBLIC = re.compile(r"[0-9a-f]{16}")


class RowIds:
    """Numbers for rows: they only grow, and begin with the millisecond (since 2020) in which they were made, so that newest first
    is a walk over the primary key. For one writer; 2^20 a millisecond before they run ahead of the clock.
    """

    def __init__(self, last: int = 0) -> None:
        self._last = last

    def take(self, count: int, at: float) -> range:
        """``count`` numbers in a row. ``at``: Unix seconds."""
        first = max(self._last + 1, (int(at * 1000) - _EPOCH_MS) << 20)
        self._last = first + count - 1
        return range(first, first + count)


def number_at(at: float) -> int:
    """A lower bound of the numbers of rows made at ``at`` (Unix seconds) or later, with a minute of room for clocks that differ."""
    return min(max(0, (int((at - 60) * 1000) - _EPOCH_MS) << 20), (1 << 63) - 1)


def public_id(number: int) -> str:
    """A row's number as people and programs see it: 16 hexadecimal digits."""
    return f"{number:016x}"


def row_number(public: str) -> int:
    """The number of a public id; 0, which no row has, when it is no id."""
    number = int(public, 16) if _PUBLIC.fullmatch(public) else 0
    return number if number < 1 << 63 else 0


def action_key(origin: Origin, source: str, action_id: str) -> int:
    """64 bits of the identity of an agent's row, for the index that keeps it single.

    BLAKE2b (RFC 7693): two ids meet by chance once in 10^7 agents of a million actions each. Origin and source are part of it, so
    that a claim cannot take the place of what an observer saw under the same id.
    """
    said = f"{origin.value}\0{source}\0{action_id}".encode()
    return int.from_bytes(hashlib.blake2b(said, digest_size=8).digest(), "big", signed=True)


def content_key(first: int, *said: object) -> int:
    """64 bits for a row whose id was taken by another deed: of the key that it would have had, and of what it says."""
    text = "\0".join(map(str, (first, *said))).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big", signed=True)
