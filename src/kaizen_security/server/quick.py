"""Batches decoded quickly: the same values as ``contract.codec`` builds, for documents in which nothing is wrong.

msgspec reads and checks the whole batch in C against the types of ``api.reported``, which are as strict as the codec or stricter.
Whatever they do not take (a wrong type, a field that is too long, a NUL) is left to the codec, which names it; so the two
cannot differ in what is accepted, only in how fast (``tests/unit/server/test_quick.py`` holds them against each other).
"""

from __future__ import annotations

import msgspec

from kaizen_security.contract.action import Action
from kaizen_security.contract.canonical_values import builder
from kaizen_security.contract.codec import Report
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import check_json, instant
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.score import decode_score
from kaizen_security.contract.verdict import Decision, Pending, Verdict
from kaizen_security.server.api import reported

_DECODER = msgspec.json.Decoder(reported.Batch)
_made = builder(Action)
_DECISIONS = {"allow": Decision.ALLOW, "block": Decision.BLOCK}
_PLAIN = (str, int, float, bool, type(None))


def decode_batch(data: bytes, organisation: str) -> list[Report] | None:
    """The reports of a batch in which all is well, each with the agent that it names itself; None: let the codec look at it.

    ``organisation``: whose actions they are, whatever they say.
    """
    if b"\\u0000" in data:
        return None
    said: dict[tuple[str, str, str], Verdict] = {}
    try:
        return [_report(found, organisation, said) for found in _DECODER.decode(data).reports]
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, InvalidInput):
        return None


def _report(found: reported.Report, organisation: str, said: dict[tuple[str, str, str], Verdict]) -> Report:
    verdict = None if found.verdict is None else _known(found.verdict, said)
    return Report(action=_action(found.action, found.agent, organisation), verdict=verdict)


def _known(found: reported.ReportedVerdict, said: dict[tuple[str, str, str], Verdict]) -> Verdict:
    """Most verdicts of a batch find nothing and say the same: they are one value, in ``said`` when it was met before."""
    if found.evidence or found.notes or found.action_id or found.at or found.pending is not None:
        return _verdict(found)
    if found.confidence is not None or found.score is not None:
        return _verdict(found)
    key = (found.decision, found.reason or "", found.policy_version or "")
    known = said.get(key)
    if known is None:
        known = said[key] = _verdict(found)
    return known


def _action(found: reported.Action, agent: str | None, organisation: str) -> Action:
    metadata = found.metadata or {}
    for value in metadata.values():
        if type(value) not in _PLAIN:
            check_json(metadata, "metadata")
            break
    return _made(  # in the order of Action's fields
        found.kind or "tool_call",
        found.tool or "",
        found.publisher or "",
        found.target or "",
        found.hash or "",
        metadata,
        found.id or "",
        found.run_id or "",
        found.act_id or "",
        _at(found.at),
        agent or found.agent or "default",
        organisation,
        tuple(found.delegation) if found.delegation else (),
        tuple(found.seen_by) if found.seen_by else (),
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
