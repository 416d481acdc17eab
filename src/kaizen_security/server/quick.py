"""Batches decoded quickly: the same values as ``contract.codec`` builds, for documents in which nothing is wrong.

msgspec reads and checks the whole batch in C against the types below, which are as strict as the codec or stricter. Whatever they
do not take (a wrong type, a field that is too long, a NUL, a pending verdict) is left to the codec, which names it; so the two
cannot differ in what is accepted, only in how fast (``tests/unit/server/test_quick.py`` holds them against each other).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from kaizen_security.contract.action import Action
from kaizen_security.contract.codec import Report
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import MAX_LIST, MAX_NAME, MAX_TEXT, check_json, instant
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.score import decode_score
from kaizen_security.contract.verdict import Decision, Verdict

Name = Annotated[str, msgspec.Meta(max_length=MAX_NAME)] | None
Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)] | None
Names = Annotated[list[Annotated[str, msgspec.Meta(max_length=MAX_NAME)]], msgspec.Meta(max_length=MAX_LIST)] | None
Texts = Annotated[list[Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]], msgspec.Meta(max_length=MAX_LIST)] | None
Instant = Annotated[str, msgspec.Meta(max_length=64)] | None


class QuickFinding(msgspec.Struct):
    """One entry of ``evidence``."""

    kind: Text = None
    value: Text = None
    source: Text = None
    detection: Text = None
    field: Text = None
    expected: Text = None
    observed: Text = None
    advice: Text = None
    attack: Text = None


class QuickAction(msgspec.Struct):
    """An action."""

    kind: Name = None
    tool: Name = None
    publisher: Name = None
    target: Text = None
    hash: Name = None
    metadata: dict[str, Any] | None = None
    id: Name = None
    run_id: Name = None
    act_id: Name = None
    at: Instant = None
    agent: Name = None
    organisation: Name = None
    delegation: Names = None
    seen_by: Names = None


class QuickVerdict(msgspec.Struct):
    """A verdict that waits for nobody."""

    decision: Literal["allow", "block"]
    reason: Text = None
    evidence: Annotated[list[QuickFinding], msgspec.Meta(max_length=MAX_LIST)] | None = None
    confidence: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    notes: Texts = None
    action_id: Name = None
    policy_version: Name = None
    pending: None = None
    at: Instant = None
    score: dict[str, Any] | None = None


class QuickReport(msgspec.Struct):
    """A report."""

    action: QuickAction
    agent: Name = None
    verdict: QuickVerdict | None = None


class QuickBatch(msgspec.Struct):
    """The body of ``POST /v1/verdicts:batch``."""

    reports: list[QuickReport]


_DECODER = msgspec.json.Decoder(QuickBatch)
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


def _report(found: QuickReport, organisation: str) -> Report:
    verdict = None if found.verdict is None else _verdict(found.verdict)
    return Report(action=_action(found.action, found.agent, organisation), verdict=verdict)


def _action(found: QuickAction, agent: str | None, organisation: str) -> Action:
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


def _verdict(found: QuickVerdict) -> Verdict:
    return Verdict(
        decision=_DECISIONS[found.decision],
        reason=found.reason or "",
        evidence=tuple(_finding(entry) for entry in found.evidence) if found.evidence else (),
        confidence=found.confidence,
        notes=tuple(found.notes) if found.notes else (),
        action_id=found.action_id or "",
        policy_version=found.policy_version or "",
        at=_at(found.at),
        score=None if found.score is None else decode_score(found.score, "score"),
    )


def _at(said: str | None) -> float:
    return instant({"at": said}, "at") if said else 0.0


def _finding(found: QuickFinding) -> Finding:
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
