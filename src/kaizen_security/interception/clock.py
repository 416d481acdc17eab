"""The one place of this room that reads the clock."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """Now, as certificates count it."""
    return datetime.now(UTC)
