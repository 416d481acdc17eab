"""The picture of ``make soak NAMES=week`` in ``docs/limits.md``: what was flagged of harmless runs, day by day."""

from __future__ import annotations

from typing import Any

from benchmarks.bars import Bar, bars


def chart(stored: dict[str, Any]) -> str:
    """A bar for each day."""
    found = stored["figures"]
    flagged = {int(day): count for day, count in found["harmless_runs_flagged_by_day"].items()}
    days = [Bar(f"day {day}", flagged.get(day, 0), str(flagged.get(day, 0))) for day in range(1, found["days"] + 1)]
    return bars(f"Harmless runs flagged each day, of {found['harmless_runs'] / found['days']:,.0f}", days)
