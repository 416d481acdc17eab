"""The attach points of an agent, in words. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from kaizen_security.server.attached import Point, State
from kaizen_security.server.console.words import ago


@dataclass(frozen=True, slots=True, kw_only=True)
class PointView:
    """One feed at one sidecar; ``silent``: what is done there may go unseen."""

    source: str
    says: str
    silent: bool


def point_view(point: Point, now: float) -> PointView:
    """What the agent's page says of it at ``now`` (Unix seconds)."""
    return PointView(source=point.source, says=_says(point, now), silent=point.silent)


def _says(point: Point, now: float) -> str:
    match point.state:
        case State.DARK:
            also = f"; {_processes(point.alive)} alive" if point.alive else ""
            return f"silent in {_processes(point.dark)} without a goodbye, last heard {ago(point.heard, now)}{also}"
        case State.UNHEARD:
            return f"nobody knows: its sidecar {point.sidecar} has said nothing since {ago(point.told, now)}"
        case State.ALIVE:
            return f"alive in {_processes(point.alive)}"
        case State.LEFT:
            return "said goodbye: no process has it now"


def _processes(count: int) -> str:
    return f"{count:,} process{'es' if count != 1 else ''}"
