"""What ``docs/reference/server-figures.md`` quotes of ``benchmarks.ingest``."""

from __future__ import annotations

from typing import Any

from benchmarks.kept import conditions

PAGE = "docs/reference/server-figures.md"
_ROWS = {
    "observer": "kept as they are (a sidecar reports)",
    "agent": "evaluated by the Observer, then kept (deployed clients report)",
    "floor": "the floor",
}


def lines(found: dict[str, Any]) -> list[str]:
    """The table."""
    rows = [
        f"| {_ROWS[one['scope']]} | {one['rows_per_cpu_second']:,} | {one['us_cpu_per_row']:g} | {one['rows_per_second']:,} |"
        for one in found["results"]
    ]
    return [
        f"`{found['command']}`: {conditions(found)}",
        "",
        "| | rows for each second of the server's CPU | µs of CPU a row | rows a second by the clock |",
        "|---|---|---|---|",
        *rows,
    ]
