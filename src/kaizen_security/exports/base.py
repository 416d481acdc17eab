"""What an exporter is: it turns notices into HTTP exchanges, and nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from kaizen_security.contract import reasons
from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.verdict import Verdict
from kaizen_security.net.outbound import Exchange


class Kind(StrEnum):
    """Why a verdict is sent: blocked, held for a person, flagged, one of all, told already and joined to its call since, or
    somebody pressed the button.
    """

    BLOCK = "verdict.block"
    HOLD = "hold"
    ANOMALY = "anomaly"
    ALLOW = "verdict.allow"
    JOINED = "verdict.joined"
    TEST = "test"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One verdict to send. ``action`` is in boundary form already; ``at`` is in Unix seconds.

    ``joined``: this destination was told of it before its act was known, and is told again.
    """

    id: str
    at: float
    agent: str
    action: Action
    verdict: Verdict
    test: bool = False
    joined: bool = False

    @property
    def delivery(self) -> str:
        """What names the delivery: the verdict's id, and of one that is told again the act with it. Repeated, it is the same."""
        if not self.joined:
            return self.id
        said = f"{self.action.act_id}\0{self.action.run_id}".encode("utf-8", "surrogatepass")
        return f"{self.id}-{hashlib.sha256(said).hexdigest()[:16]}"

    @property
    def kind(self) -> Kind:
        """Blocked wins over flagged; what is held is blocked for now."""
        if self.test:
            return Kind.TEST
        if self.joined:
            return Kind.JOINED
        if reasons.HELD in self.verdict.notes:
            return Kind.HOLD
        if self.verdict.blocked:
            return Kind.BLOCK
        return Kind.ANOMALY if self.verdict.flagged else Kind.ALLOW

    @property
    def word(self) -> str:
        """What happened, for people."""
        return {
            Kind.TEST: "Test",
            Kind.BLOCK: "Blocked",
            Kind.HOLD: "Held",
            Kind.ANOMALY: "Flagged",
            Kind.ALLOW: "Allowed",
            Kind.JOINED: "Joined",
        }[self.kind]


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where to, as an administrator configured it.

    ``secret``   signs or authenticates; encrypted at rest, never shown again
    ``headers``  sent along as they are
    ``options``  what one exporter needs more (``service`` of OTLP, say)
    """

    id: str
    kind: str
    url: str
    secret: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Json] = field(default_factory=dict)


class Exporter(Protocol):
    """Pure: the same notices give the same exchanges."""

    def exchanges(self, notices: Sequence[Notice], destination: Destination) -> list[Exchange]:
        """The exchanges that send ``notices``, in order. Raises Misconfigured when the destination lacks something."""
        ...
