"""Verdict: the answer to ``inspect(action)``, the same at every rung."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from enum import StrEnum

from kaizen_security.contract.canonical_values import builder
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.score import Score


class Decision(StrEnum):
    """There is no third one: what is asked of a person is a ``block`` that is pending."""

    ALLOW = "allow"
    BLOCK = "block"


class Severity(StrEnum):
    """How soon a person should look."""

    INFO = "info"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Mode(StrEnum):
    """Per agent. OBSERVE flags; ENFORCE also blocks on findings that observe only flags, and blocks when nobody can answer."""

    OBSERVE = "observe"
    ENFORCE = "enforce"


ENFORCED = frozenset(
    {"taint", "memory", "declaration", "provenance", "diverted", "alignment", "unasked", "gap", "reasoning"}
)
"""Detections whose findings observe lets through with a flag and ENFORCE blocks; the others block always or never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A hold: the action waits for a person until ``expires_at`` (Unix seconds); unanswered means blocked."""

    id: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Decision, reason and evidence for one action.

    These three may be given by position, as deployed code does, and the decision as text; a word that is no decision raises
    ValueError. The rest are keywords only.

    ``reason``          an interface: its forms are in ``contract.reasons`` and dashboards match on them
    ``evidence``        the findings; *flagged* means that there are some
    ``confidence``      0 to 1, only when a reasoning check or a gap gave the verdict
    ``notes``           what the reader should know and what is no finding (a baseline that is too young, a paused agent)
    ``policy_version``  which policy was in force, so that "applied" is never said too early
    ``at``              Unix seconds
    ``score``           what the score of its values is made of; None where none was taken
    """

    decision: Decision = Decision.ALLOW
    reason: str = ""
    evidence: tuple[Finding, ...] = ()
    _: KW_ONLY
    confidence: float | None = None
    notes: tuple[str, ...] = ()
    action_id: str = ""
    policy_version: str = ""
    pending: Pending | None = None
    at: float = 0.0
    score: Score | None = None

    def __post_init__(self) -> None:
        # ``Verdict("block")`` would otherwise be a verdict that does not block: decisions are compared by identity.
        if type(self.decision) is not Decision:
            object.__setattr__(self, "decision", Decision(self.decision))
        if type(self.evidence) is not tuple:
            object.__setattr__(self, "evidence", tuple(self.evidence))

    @property
    def blocked(self) -> bool:
        """The action must not happen (or, seen after the fact, should not have)."""
        return self.decision is Decision.BLOCK

    @property
    def allowed(self) -> bool:
        """The opposite of ``blocked``."""
        return self.decision is Decision.ALLOW

    @property
    def flagged(self) -> bool:
        """It carries findings."""
        return bool(self.evidence)

    @property
    def severity(self) -> Severity:
        """HIGH for a block, MEDIUM for a flag with an attack class, LOW for another flag, else INFO."""
        if self.blocked:
            return Severity.HIGH
        if not self.evidence:
            return Severity.INFO
        return Severity.MEDIUM if any(finding.attack for finding in self.evidence) else Severity.LOW


_made = builder(Verdict)


def restated(
    said: Verdict,
    *,
    action_id: str | None = None,
    notes: tuple[str, ...] | None = None,
    policy_version: str | None = None,
) -> Verdict:
    """The verdict with another action, other notes or another policy. ``dataclasses.replace`` in a fifth of its time: each action
    that has an id pays it, and each report.
    """
    return _made(  # in the order of Verdict's fields
        said.decision,
        said.reason,
        said.evidence,
        said.confidence,
        said.notes if notes is None else notes,
        said.action_id if action_id is None else action_id,
        said.policy_version if policy_version is None else policy_version,
        said.pending,
        said.at,
        said.score,
    )
