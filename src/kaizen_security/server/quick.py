"""Batches decoded quickly: the same values as ``contract.codec`` builds, for documents in which nothing is wrong.

msgspec reads and checks the whole batch in C against the types of ``api.reported``, which are as strict as the codec or stricter.
Whatever they do not take (a wrong type, a field that is too long, a NUL) is left to the codec, which names it; so the two
cannot differ in what is accepted, only in how fast (``tests/unit/server/test_quick.py`` holds them against each other).
"""

from __future__ import annotations

import msgspec

from kaizen_security.contract.action import Action
from kaizen_security.contract.codec import Report
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import check_json, instant
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.score import decode_score
from kaizen_security.contract.verdict import Decision, Pending, Verdict
from kaizen_security.server.api import reported

_DECODER = msgspec.json.Decoder(reported.Batch)
_DECISIONS = {"allow": Decision.ALLOW, "block": Decision.BLOCK}
_PLAIN = (str, int, float, bool, type(None))


def decode_batch(data: bytes, organisation: str) -> list[Report] | None:
    """The reports of a batch in which all is well, each with the agent that it names itself; None: let the codec look at it.

    ``organisation``: whose actions they are, whatever they say.
    """
    if b"\\u0000" in data:
        return None
    try:
        return [_report(found, organisation) for found in _DECODER.decode(data).reports]
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, InvalidInput):
        return None


def _report(found: reported.Report, organisation: str) -> Report:
    verdict = None if found.verdict is None else _verdict(found.verdict)
    return Report(action=_action(found.action, found.agent, organisation), verdict=verdict)


def _action(found: reported.Action, agent: str | None, organisation: str) -> Action:
    metadata = found.metadata or {}
    for value in metadata.values():
        if type(value) not in _PLAIN:
            check_json(metadata, "metadata")
            break
    return Action(
        kind=found.kind or "tool_call",
        tool=found.tool or "",
        publisher=found.publisher or "",
        target=found.target or "",
        hash=found.hash or "",
        metadata=metadata,
        id=found.id or "",
        run_id=found.run_id or "",
        act_id=found.act_id or "",
        at=_at(found.at),
        agent=agent or found.agent or "default",
        organisation=organisation,
        delegation=tuple(found.delegation) if found.delegation else (),
        seen_by=tuple(found.seen_by) if found.seen_by else (),
    )


def _verdict(found: reported.ReportedVerdict) -> Verdict:
    return Verdict(
        decision=_DECISIONS[found.decision],
        reason=found.reason or "",
        evidence=tuple(_finding(entry) for entry in found.evidence) if found.evidence else (),
        confidence=found.confidence,
        notes=tuple(found.notes) if found.notes else (),
        action_id=found.action_id or "",
        policy_version=found.policy_version or "",
        pending=None if found.pending is None else _pending(found.pending),
        at=_at(found.at),
        score=None if found.score is None else decode_score(found.score, "score"),
    )


def _pending(found: reported.Pending) -> Pending:
    return Pending(id=found.id, expires_at=_at(found.expires_at))


def _at(said: str | None) -> float:
    return instant({"at": said}, "at") if said else 0.0


def _finding(found: reported.Finding) -> Finding:
    return Finding(
        kind=found.kind or "",
        value=found.value or "",
        source=found.source or "",
        detection=found.detection or "",
        field=found.field or "",
        expected=found.expected or "",
        observed=found.observed or "",
        advice=found.advice or "",
        attack=found.attack or "",
    )
