"""Declaration: what an agent is for (on the wire also called its manifest)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """An empty tuple means "not declared in this dimension", so nothing is undeclared there.

    ``tools``         tool names; compared after ``canonical.permitted`` (ADR 0002)
    ``destinations``  hosts, ``host:port``, addresses, CIDR ranges or ``*.suffix``; compared after ``canonical.host``
    ``purpose``       one sentence for people and for the alignment detection
    """

    tools: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()
    purpose: str = ""


NOTHING_DECLARED = Declaration()
"""Nothing is undeclared."""
