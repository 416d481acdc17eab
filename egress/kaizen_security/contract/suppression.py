"""Suppressions: the flags that a person called false positives, each by what exactly was found on what exactly was done.

Compared in the form that leaves the tenant (``contract.boundary``), which is what the person saw and what the control plane keeps.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace

from kaizen_security.contract import canonical, reasons
from kaizen_security.contract.action import Action
from kaizen_security.contract.boundary import outward, outward_verdict
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.verdict import Decision, Verdict

NEVER = frozenset({"policy", "correlation", "secrets", "canary", "tool_pins", "egress-address", "unprotected"})
"""Detections whose findings nobody suppresses: a deny is changed in the policy, and a leaked secret is no matter of taste."""


def signature(action: Action, evidence: Iterable[Finding]) -> str:
    """SHA-256, hex, of what was done (kind, tool, publisher, host or target, hash) and found (detection, kind, value).

    Both as they leave the tenant.
    """
    found = canonical.target(action.target)
    done = [
        action.kind,
        canonical.tool(action.tool),
        action.publisher,
        found.host or action.target,
        action.hash,
    ]
    findings = sorted({(finding.detection, finding.kind, finding.value) for finding in evidence})
    return hashlib.sha256(json.dumps([done, findings]).encode()).hexdigest()


def acceptance(action: Action) -> str:
    """SHA-256, hex, of a definition that a person accepts as it is now: a tool of an MCP server, by its server, name and digest.

    ``action`` as it leaves the tenant: the load of the definition, or a call of the tool that was held back for it.
    """
    return signature(replace(action, kind="skill_load", target=""), ())


def can_accept(action: Action, evidence: Iterable[Finding]) -> bool:
    """Whether a finding is that a definition is another than it was pinned as, so that a person may accept it."""
    found = tuple(evidence)
    return bool(found and action.hash and action.publisher) and all(one.detection == "tool_pins" for one in found)


def can_suppress(evidence: Iterable[Finding]) -> bool:
    """Whether a person may call it a false positive, or normal, at all."""
    return not why_kept(evidence)


def why_kept(evidence: Iterable[Finding]) -> str:
    """Why a person may call it neither a false positive nor normal, as half a sentence; empty when he may."""
    kept = [one for one in evidence if one.detection in NEVER or _denies(one)]
    if any(_denies(one) for one in kept):
        return "a policy denies this; change the policy"
    return f"nobody can release what {kept[0].detection} has found" if kept else ""


def _denies(finding: Finding) -> bool:
    return finding.source.startswith("policy") or finding.detection in ("policy", "correlation")


def settled(verdict: Verdict) -> Verdict:
    """The verdict without the flag that a person called a false positive; its notes say what it was."""
    return replace(
        verdict,
        decision=Decision.ALLOW,
        reason=reasons.NO_POLICY_MATCHED,
        evidence=(),
        confidence=None,
        notes=(*verdict.notes, f"not flagged, since a person called this a false positive: {verdict.reason}"),
    )


@dataclass(frozen=True, slots=True)
class Suppressions:
    """Those of one agent. ``key`` is the tenant's (``boundary_key``), under which its values leave."""

    signatures: frozenset[str] = frozenset()
    key: bytes = b""

    def __bool__(self) -> bool:
        return bool(self.signatures)

    def cover(self, action: Action, verdict: Verdict) -> bool:
        """Whether a person called exactly this a false positive."""
        if not self.signatures or not verdict.evidence or not can_suppress(verdict.evidence):
            return False
        seen, said = outward(action, self.key), outward_verdict(verdict, self.key)
        return signature(seen, said.evidence) in self.signatures

    def accepts(self, action: Action) -> bool:
        """Whether a person accepted the definition whose load ``action`` is."""
        return bool(self.signatures) and acceptance(outward(action, self.key)) in self.signatures

    def settle(self, action: Action, verdict: Verdict) -> Verdict:
        """``settled`` when they cover it, else the very same verdict."""
        return settled(verdict) if self.cover(action, verdict) else verdict


NOTHING_SUPPRESSED = Suppressions()
