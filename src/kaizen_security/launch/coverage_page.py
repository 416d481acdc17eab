"""Coverage in words: lines for a terminal, one JSON document, the table of the reference."""

from __future__ import annotations

from collections.abc import Sequence

from kaizen_security.contract.action import Json
from kaizen_security.contract.verdict import Mode
from kaizen_security.launch.canaries import CANARIES
from kaizen_security.launch.coverage import Canary, Coverage


def word(canary: Canary) -> str:
    """What became of it."""
    if not canary.tried:
        return "not tried"
    seen = "seen" if canary.seen else "not seen"
    return f"{seen}, stopped" if canary.stopped else f"{seen}, passed"


def document(found: Sequence[Coverage]) -> Json:
    """All of it as JSON: a list, an object for each rung and mode."""
    return [
        {
            "rung": one.way.value,
            "mode": one.mode.value,
            "why": one.why,
            "good": one.figure[0],
            "tried": one.figure[1],
            "canaries": {c.name: {"seen": c.seen, "stopped": c.stopped, "tried": c.tried} for c in one.canaries},
        }
        for one in found
    ]


def lines(found: Sequence[Coverage]) -> list[str]:
    """For a terminal."""
    said = []
    for one in found:
        good, tried = one.figure
        heading = f"{one.way.value}, {one.mode.value}"
        if one.why:
            said += [f"{heading}: not here ({one.why})", ""]
            continue
        what = "seen or stopped" if one.mode is Mode.ENFORCE else "seen"
        said.append(f"{heading}: {good} of {tried} {what}")
        said += [f"  {CANARIES[c.name][0]:<58} {word(c)}" for c in one.canaries]
        said.append("")
    return said


def markdown(found: Sequence[Coverage]) -> str:
    """The table of the reference: a row for each way out, a column for each rung and mode."""
    columns = [one for one in found if one.canaries]
    head = "| way out | " + " | ".join(f"{one.way.value}, {one.mode.value}" for one in columns) + " |"
    rule = "|---|" + "---|" * len(columns)
    rows = []
    for name, (title, _) in CANARIES.items():
        cells = [next(word(c) for c in one.canaries if c.name == name) for one in columns]
        rows.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join([head, rule, *rows])
