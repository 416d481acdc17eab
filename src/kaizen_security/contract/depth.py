"""How hard a source is to lie to: its rung."""

from __future__ import annotations

from enum import IntEnum


class Rung(IntEnum):
    """1 is told by the agent itself, 4 is seen below it. 3 and 4 are shown as *ground truth*."""

    COOPERATIVE = 1
    CHOKEPOINT = 2
    EGRESS = 3
    KERNEL = 4

    @property
    def label(self) -> str:
        """The word that people read."""
        return _LABELS[self]

    @property
    def confidence(self) -> float:
        """The most that a reasoning check may claim of what was seen here: it knows no more than who saw it."""
        return _CONFIDENCE[self]


_LABELS = {
    Rung.COOPERATIVE: "cooperative",
    Rung.CHOKEPOINT: "chokepoint",
    Rung.EGRESS: "ground truth (egress)",
    Rung.KERNEL: "ground truth (kernel)",
}

_CONFIDENCE = {Rung.COOPERATIVE: 0.6, Rung.CHOKEPOINT: 0.8, Rung.EGRESS: 0.95, Rung.KERNEL: 0.95}

_RUNG_OF_SOURCE = {
    "mcp": Rung.CHOKEPOINT,
    "egress": Rung.EGRESS,
    "sandbox": Rung.EGRESS,
    "ebpf": Rung.KERNEL,
}

GROUND_TRUTH = frozenset(source for source, rung in _RUNG_OF_SOURCE.items() if rung >= Rung.EGRESS)
"""Sources of which ``rung_of`` says that nobody who acts can lie to them."""

TOLD = "-told"
"""What the name of a source ends with that was claimed by somebody who may not: the agent's own word, whatever it says."""


def rung_of(source: str) -> Rung:
    """The rung of a ``metadata.source`` value; an unknown or absent source is worth no more than the agent's word."""
    return _RUNG_OF_SOURCE.get(source, Rung.COOPERATIVE)
