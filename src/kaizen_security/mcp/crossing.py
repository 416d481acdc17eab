"""Crossings: the values of a line on its way between client and server, for ``relay``."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from kaizen_security.contract.action import Action
from kaizen_security.contract.canonical_values import builder
from kaizen_security.mcp.frames import Frame, Message
from kaizen_security.mcp.inbound import Arrival, Report


class Side(Enum):
    """Who sent it."""

    CLIENT = "client"
    SERVER = "server"

    # There is one of each, and they are looked up for each line: an enum's own hash is that of its name, by a function in Python.
    __hash__ = object.__hash__


@dataclass(frozen=True, slots=True)
class Call:
    """A request that was passed on and waits for its reply; ``action`` is what it does, None for one that only looks."""

    message: Message
    action: Action | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user asked, as the host tells it with a call of the run."""

    run_id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One message of a crossing. ``asks`` have to be allowed; when it is dropped, ``answer`` is what its sender gets."""

    message: Message
    asks: tuple[Action, ...] = ()
    drop: bool = False
    answer: bytes = b""
    arrival: Arrival | None = None
    call: Call | None = None
    report: Report | None = None
    asked: Asked | None = None


@dataclass(frozen=True, slots=True)
class Crossing:
    """A line on its way. ``asks``: the actions to be judged, in this order, before ``settle``."""

    side: Side
    frame: Frame | None
    parts: tuple[Part, ...] = ()
    answer: bytes = b""

    @property
    def asked(self) -> tuple[Asked, ...]:
        """What the messages say that the user asked."""
        if len(self.parts) == 1 and self.parts[0].asked is None:
            return ()
        return tuple(part.asked for part in self.parts if part.asked is not None)

    @property
    def asks(self) -> tuple[Action, ...]:
        """What has to be judged before it may cross."""
        if len(self.parts) == 1:
            return self.parts[0].asks
        return tuple(action for part in self.parts for action in part.asks)


@dataclass(frozen=True, slots=True)
class Came:
    """What an action brought back."""

    action: Action
    content: object
    failed: bool


@dataclass(slots=True)
class Moves:
    """What is to be written where, each without its line end; ``came``: results to note; ``reports``: what a ward found."""

    to_server: list[bytes] = field(default_factory=list)
    to_client: list[bytes] = field(default_factory=list)
    came: list[Came] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)


made_part, made_crossing, made_call, made_came = builder(Part), builder(Crossing), builder(Call), builder(Came)
"""In the order of their fields: one of each is made for each line."""
