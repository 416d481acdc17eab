"""Which attach points of an agent are there, by what its sidecars said last. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from kaizen_security.contract.action import Json
from kaizen_security.store.profiles import Profile

UNHEARD: Final = 180.0
"""Seconds without a word of a sidecar, which is due every minute, after which nobody knows what it said was alive."""
FORGOTTEN: Final = 86_400.0
"""Seconds without a word of a sidecar after which what it said is not shown any more."""


class State(StrEnum):
    """``DARK``: silent without a goodbye. ``UNHEARD``: it was alive, but its sidecar has fallen silent since. The worst first."""

    DARK = "dark"
    UNHEARD = "unheard"
    ALIVE = "alive"
    LEFT = "left"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The attach points for one feed (``source``) that one sidecar knows; numbers are processes.

    ``heard``  when the one of ``state`` that was heard last gave its last sign of life (Unix seconds)
    ``told``   when the sidecar said so
    """

    source: str
    sidecar: str
    state: State
    alive: int
    dark: int
    left: int
    heard: float
    told: float

    @property
    def silent(self) -> bool:
        """Whether what is done there may go unseen."""
        return self.state in (State.DARK, State.UNHEARD)


def points(said: Sequence[Profile], now: float) -> tuple[Point, ...]:
    """Those of an agent at ``now`` (Unix seconds), the silent ones first."""
    found = (_point(one, told, now) for told in said if now - told.at <= FORGOTTEN for one in _entries(told.document))
    order = list(State)
    return tuple(sorted(found, key=lambda point: (order.index(point.state), point.source, point.sidecar)))


def _entries(document: Mapping[str, Json]) -> Iterator[Mapping[str, Json]]:
    listed = document.get("points")
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict):
            yield one


def _point(one: Mapping[str, Json], told: Profile, now: float) -> Point:
    alive, dark, left = (int(_number(one.get(name))) for name in ("alive", "dark", "left"))
    state = State.DARK if dark else State.ALIVE if alive else State.LEFT
    if state is State.ALIVE and now - told.at > UNHEARD:
        state = State.UNHEARD
    heard = told.at - _number(one.get("silent"))
    source = str(one.get("source", ""))
    return Point(
        source=source, sidecar=told.sidecar, state=state, alive=alive, dark=dark, left=left, heard=heard, told=told.at
    )


def _number(value: Json) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
