"""The signature of a flag: what a person means who calls it a false positive, and nothing wider."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from kaizen_security.contract import canonical
from kaizen_security.contract.action import Action
from kaizen_security.contract.finding import Finding


def signature(action: Action, evidence: Iterable[Finding]) -> str:
    """SHA-256, hex, of what was done (kind, tool, publisher, host or target, hash) and found (detection, kind, value)."""
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


def can_suppress(evidence: Iterable[Finding]) -> bool:
    """Whether a person may call it a false positive at all: a deny of the organisation's policy is changed in the policy."""
    return not any(finding.source.startswith("policy") for finding in evidence)
