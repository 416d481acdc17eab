"""What was measured of an agent's ways out, in words. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kaizen_security.contract.action import Json
from kaizen_security.server.console.words import ago
from kaizen_security.store.coverage import Measured


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageView:
    """``lines`` are a rung and mode, what it comes to, and which ways out are neither seen nor stopped there."""

    measured: str
    lines: tuple[tuple[str, str, str], ...]


def coverage_view(found: Measured, now: float) -> CoverageView:
    """What the agent's page says of it at ``now`` (Unix seconds)."""
    return CoverageView(
        measured=f"measured {ago(found.at, now)} on {found.machine}",
        lines=tuple(_line(one) for one in found.rungs),
    )


def _line(one: Mapping[str, Json]) -> tuple[str, str, str]:
    heading = f"{one['rung']}, {one['mode']}"
    if one["why"]:
        return heading, f"not there: {one['why']}", ""
    what = "seen or stopped" if one["mode"] == "enforce" else "seen"
    return heading, f"{one['good']} of {one['tried']} {what}", ", ".join(_open(one))


def _open(one: Mapping[str, Json]) -> Iterator[str]:
    canaries = one["canaries"]
    for name, became in canaries.items() if isinstance(canaries, dict) else ():
        if isinstance(became, dict) and became["tried"] and not (became["seen"] or _held(one, became)):
            yield name


def _held(one: Mapping[str, Json], became: Mapping[str, Json]) -> bool:
    return one["mode"] == "enforce" and bool(became["stopped"])
