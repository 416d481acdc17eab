"""JSON documents to values and back. One codec for every rung; a server may parse bytes faster, the values are built here.

Shapes are those of ``spec/schema``. What arrives is hostile: every field is bounded and checked, an error names the field and never
repeats its value. Absent, ``null`` and ``""`` are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.canonical_values import builder
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import (
    MAX_DOCUMENT,
    MAX_NAME,
    array,
    boolean,
    check_json,
    instant,
    obj,
    rfc3339,
    text,
    texts,
)
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.score import decode_score, encode_score
from kaizen_security.contract.step import Claim, Effect, End, Message, Request, Result, Step
from kaizen_security.contract.verdict import Decision, Pending, Verdict

# --- actions and steps ------------------------------------------------------------------------------------------------------


def decode_action(document: Json, *, agent: str = "", field: str = "action") -> Action:
    """An action in any shape of the wire contract. ``agent``, told by key or channel, wins over the document's own.

    Raises InvalidInput naming the field.
    """
    doc = obj(document, field)
    path = field + "."
    metadata = doc.get("metadata")
    if metadata is None:
        metadata = {}
    if not isinstance(metadata, dict):
        raise InvalidInput(path + "metadata", "must be an object")
    check_json(metadata, path + "metadata")
    return _action(
        text(doc, "kind", path, limit=MAX_NAME) or "tool_call",
        text(doc, "tool", path, limit=MAX_NAME),
        text(doc, "publisher", path, limit=MAX_NAME),
        text(doc, "target", path),
        text(doc, "hash", path, limit=MAX_NAME),
        metadata,
        text(doc, "id", path, limit=MAX_NAME),
        text(doc, "run_id", path, limit=MAX_NAME),
        text(doc, "act_id", path, limit=MAX_NAME),
        instant(doc, "at", path),
        agent or text(doc, "agent", path, limit=MAX_NAME) or "default",
        text(doc, "organisation", path, limit=MAX_NAME),
        texts(doc, "delegation", path, limit=MAX_NAME),
        texts(doc, "seen_by", path, limit=MAX_NAME),
    )


_action = builder(Action)  # in the order of its fields; every step and every row that is read goes through here


def encode_action(action: Action) -> dict[str, Json]:
    """The six keys of the wire contract, nulls kept, then what is ours and stated. ``decode_action`` gives it back."""
    document: dict[str, Json] = {
        "kind": action.kind,
        "tool": action.tool or None,
        "publisher": action.publisher or None,
        "target": action.target or None,
        "hash": action.hash or None,
        "metadata": dict(action.metadata),
    }
    for key in ("id", "run_id", "act_id", "agent", "organisation"):
        value = getattr(action, key)
        if value:
            document[key] = value
    if action.at:
        document["at"] = rfc3339(action.at)
    if action.delegation:
        document["delegation"] = list(action.delegation)
    if action.seen_by:
        document["seen_by"] = list(action.seen_by)
    return document


def decode_step(document: Json, *, agent: str = "", field: str = "step") -> Step:
    """A Step, told apart by its key ``step``; absent means ``action``. Raises InvalidInput."""
    doc = obj(document, field)
    name = text(doc, "step", field + ".", limit=MAX_NAME) or "action"
    build = _STEPS.get(name)
    if build is None:
        raise InvalidInput(field + ".step", f"must be one of {', '.join(_STEPS)}")
    return build(doc, agent, field)


def _step_action(doc: dict[str, Json], agent: str, field: str) -> Action:
    return decode_action(doc.get("action", doc), agent=agent, field=field)


def _step_request(doc: dict[str, Json], agent: str, field: str) -> Request:
    run_id, agent, at = _run(doc, agent, field)
    return Request(run_id=run_id, agent=agent, at=at, text=text(doc, "text", field + ".", limit=MAX_DOCUMENT))


def _step_result(doc: dict[str, Json], agent: str, field: str) -> Result:
    run_id, agent, at = _run(doc, agent, field)
    content = doc.get("content")
    check_json(content, field + ".content")
    action_id = text(doc, "action_id", field + ".", limit=MAX_NAME)
    failed = boolean(doc, "failed", field + ".")
    return Result(run_id=run_id, agent=agent, at=at, action_id=action_id, content=content, failed=failed)


def _step_message(doc: dict[str, Json], agent: str, field: str) -> Message:
    run_id, agent, at = _run(doc, agent, field)
    said = text(doc, "text", field + ".", limit=MAX_DOCUMENT)
    return Message(
        run_id=run_id, agent=agent, at=at, text=said, to=text(doc, "to", field + ".", limit=MAX_NAME) or "user"
    )


def _step_claim(doc: dict[str, Json], agent: str, field: str) -> Claim:
    run_id, agent, at = _run(doc, agent, field)
    return Claim(
        run_id=run_id, agent=agent, at=at, action=decode_action(doc.get("action"), agent=agent, field=field + ".action")
    )


def _step_effect(doc: dict[str, Json], agent: str, field: str) -> Effect:
    run_id, agent, at = _run(doc, agent, field)
    return Effect(
        run_id=run_id, agent=agent, at=at, action=decode_action(doc.get("action"), agent=agent, field=field + ".action")
    )


def _step_end(doc: dict[str, Json], agent: str, field: str) -> End:
    run_id, agent, at = _run(doc, agent, field)
    return End(run_id=run_id, agent=agent, at=at, completed=boolean(doc, "completed", field + ".", default=True))


def _run(doc: dict[str, Json], agent: str, field: str) -> tuple[str, str, float]:
    path = field + "."
    return (
        text(doc, "run_id", path, limit=MAX_NAME),
        agent or text(doc, "agent", path, limit=MAX_NAME) or "default",
        instant(doc, "at", path),
    )


_STEPS: dict[str, Callable[[dict[str, Json], str, str], Step]] = {
    "action": _step_action,
    "request": _step_request,
    "result": _step_result,
    "message": _step_message,
    "claim": _step_claim,
    "effect": _step_effect,
    "end": _step_end,
}


def encode_step(step: Step) -> dict[str, Json]:
    """A Step as its document. ``decode_step`` gives it back."""
    if isinstance(step, Action):
        return {"step": "action", **encode_action(step)}
    head: dict[str, Json] = {"step": type(step).__name__.lower(), "run_id": step.run_id, "agent": step.agent}
    if step.at:
        head["at"] = rfc3339(step.at)
    match step:
        case Request():
            head["text"] = step.text
        case Result():
            head |= {"action_id": step.action_id, "content": step.content, "failed": step.failed}
        case Message():
            head |= {"text": step.text, "to": step.to}
        case Claim() | Effect():
            head["action"] = encode_action(step.action)
        case End():
            head["completed"] = step.completed
    return head


# --- verdicts ---------------------------------------------------------------------------------------------------------------

_FINDING = ("kind", "value", "source", "detection", "field", "expected", "observed", "advice", "attack")


def decode_finding(document: Json, *, field: str = "evidence") -> Finding:
    """One entry of ``evidence``. Raises InvalidInput."""
    doc = obj(document, field)
    return Finding(**{key: text(doc, key, field + ".") for key in _FINDING})


def encode_finding(finding: Finding) -> dict[str, Json]:
    """``kind``, ``value`` and ``source`` always, the rest when stated."""
    document: dict[str, Json] = {"kind": finding.kind, "value": finding.value, "source": finding.source}
    for key in _FINDING[3:]:
        value = getattr(finding, key)
        if value:
            document[key] = value
    return document


def decode_verdict(document: Json, *, field: str = "verdict") -> Verdict:
    """A verdict; keys that are not ours (``blocked``, ``flagged``) are derived, so they are not read. Raises InvalidInput."""
    doc = obj(document, field)
    path = field + "."
    decision = text(doc, "decision", path, limit=16)
    if decision not in ("allow", "block"):
        raise InvalidInput(path + "decision", "must be allow or block")
    confidence = doc.get("confidence")
    if confidence is not None:
        if isinstance(confidence, bool) or not isinstance(confidence, int | float) or not 0 <= confidence <= 1:
            raise InvalidInput(path + "confidence", "must be null or a number from 0 to 1")
        confidence = float(confidence)
    evidence = array(doc, "evidence", path)
    return Verdict(
        decision=Decision.BLOCK if decision == "block" else Decision.ALLOW,
        reason=text(doc, "reason", path),
        evidence=tuple([decode_finding(item, field=f"{path}evidence[{i}]") for i, item in enumerate(evidence)]),
        confidence=confidence,
        notes=texts(doc, "notes", path),
        action_id=text(doc, "action_id", path, limit=MAX_NAME),
        policy_version=text(doc, "policy_version", path, limit=MAX_NAME),
        pending=_decode_pending(doc.get("pending"), path + "pending"),
        at=instant(doc, "at", path),
        score=None if doc.get("score") is None else decode_score(doc["score"], path + "score"),
    )


def _decode_pending(document: Json, field: str) -> Pending | None:
    if document is None:
        return None
    doc = obj(document, field)
    return Pending(id=text(doc, "id", field + ".", limit=MAX_NAME), expires_at=instant(doc, "expires_at", field + "."))


def encode_verdict(verdict: Verdict) -> dict[str, Json]:
    """The four keys of the wire contract, then ours. ``decode_verdict`` gives it back."""
    document: dict[str, Json] = {
        "decision": verdict.decision.value,
        "reason": verdict.reason,
        "evidence": [encode_finding(finding) for finding in verdict.evidence],
        "confidence": verdict.confidence,
        "flagged": verdict.flagged,
    }
    if verdict.notes:
        document["notes"] = list(verdict.notes)
    if verdict.action_id:
        document["action_id"] = verdict.action_id
    if verdict.policy_version:
        document["policy_version"] = verdict.policy_version
    if verdict.pending is not None:
        document["pending"] = {"id": verdict.pending.id, "expires_at": rfc3339(verdict.pending.expires_at)}
    if verdict.at:
        document["at"] = rfc3339(verdict.at)
    if verdict.score is not None:
        document["score"] = encode_score(verdict.score)
    return document


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """An action as a client reports it, with the verdict that the client CLAIMS (None when it states none)."""

    action: Action
    verdict: Verdict | None = None


def decode_report(document: Json, *, agent: str = "", field: str = "") -> Report:
    """Any of the four shapes of ``POST /v1/verdicts``. Raises InvalidInput."""
    doc = obj(document, field or "document")
    path = field + "." if field else ""
    said = agent or text(doc, "agent", path, limit=MAX_NAME)
    verdict = doc.get("verdict")
    return Report(
        action=decode_action(doc.get("action"), agent=said, field=path + "action"),
        verdict=None if verdict is None else decode_verdict(verdict, field=path + "verdict"),
    )


def encode_report(report: Report) -> dict[str, Json]:
    """A report in the wire contract's first shape. ``decode_report`` gives it back."""
    return {
        "schema_version": "1",
        "agent": report.action.agent,
        "action": encode_action(report.action),
        "verdict": None if report.verdict is None else encode_verdict(report.verdict),
    }


def decode_declaration(document: Json, *, field: str = "manifest") -> Declaration:
    """A declaration. Raises InvalidInput."""
    doc = obj(document, field)
    path = field + "."
    return Declaration(
        tools=texts(doc, "tools", path, limit=MAX_NAME),
        destinations=texts(doc, "destinations", path),
        purpose=text(doc, "purpose", path),
        data=texts(doc, "data", path, limit=MAX_NAME),
    )


def encode_declaration(declaration: Declaration) -> dict[str, Json]:
    """``decode_declaration`` gives it back."""
    return {
        "tools": list(declaration.tools),
        "destinations": list(declaration.destinations),
        "purpose": declaration.purpose,
        "data": list(declaration.data),
    }
