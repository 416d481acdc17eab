"""JSON documents to values and back. One codec for every rung; a server may parse bytes faster, the values are built here.

Shapes are those of ``spec/schema``. What arrives is hostile: every field is bounded and checked, an error names the field and never
repeats its value. Absent, ``null`` and ``""`` are the same.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn

from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.errors import InvalidInput, TooLarge
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.step import Claim, Effect, End, Message, Request, Result, Step
from kaizen_security.contract.verdict import Decision, Pending, Verdict

MAX_DOCUMENT = 1 << 20
"""Bytes of one document. A batch is bounded by its server."""
MAX_TEXT = 4096
"""Characters of a target, a reason, a finding's field."""
MAX_NAME = 256
"""Characters of an agent, a tool, a publisher, a hash, an id."""
MAX_DEPTH = 32
MAX_LIST = 1000


def parse(data: bytes, *, limit: int = MAX_DOCUMENT) -> Json:
    """The JSON document in ``data``. Raises TooLarge over ``limit`` bytes, InvalidInput for what is not JSON (RFC 8259).

    NaN and Infinity, which Python's parser takes, are not JSON; nesting deeper than the parser's own bound is refused.
    """
    if len(data) > limit:
        raise TooLarge("", f"the document has {len(data)} bytes, at most {limit} are taken")
    try:
        document: Json = json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError) as err:
        raise InvalidInput("", "the document is not valid JSON") from err
    return document


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


# --- fields -----------------------------------------------------------------------------------------------------------------


def obj(document: Json, field: str) -> dict[str, Json]:
    """``document`` as an object. Raises InvalidInput."""
    if not isinstance(document, dict):
        raise InvalidInput(field, "must be an object")
    return document


def array(document: Mapping[str, Json], key: str, path: str = "", *, limit: int = MAX_LIST) -> list[Json]:
    """The list under ``key``, empty when absent. Raises InvalidInput, TooLarge over ``limit`` entries."""
    value = document.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidInput(path + key, "must be a list")
    if len(value) > limit:
        raise TooLarge(path + key, f"has {len(value)} entries, at most {limit} are taken")
    return value


def text(document: Mapping[str, Json], key: str, path: str = "", *, limit: int = MAX_TEXT) -> str:
    """The text under ``key``; absent and null are ``""``. Raises InvalidInput, TooLarge over ``limit`` characters."""
    value = document.get(key)
    if value is None:
        return ""
    return plain(value, path + key, limit=limit)


def plain(value: Json, field: str, *, limit: int = MAX_TEXT) -> str:
    """``value`` as text that can be stored and shown anywhere. Raises InvalidInput, TooLarge."""
    if not isinstance(value, str):
        raise InvalidInput(field, "must be text")
    if len(value) > limit:
        raise TooLarge(field, f"has {len(value)} characters, at most {limit} are taken")
    if not _storable(value):
        raise InvalidInput(field, "holds a lone surrogate or a NUL, which is not text")
    return value


def texts(document: Mapping[str, Json], key: str, path: str = "", *, limit: int = MAX_TEXT) -> tuple[str, ...]:
    """The list of texts under ``key``, empty when absent. Raises InvalidInput, TooLarge."""
    values = array(document, key, path)
    return tuple(plain(value, f"{path}{key}[{i}]", limit=limit) for i, value in enumerate(values))


def boolean(document: Mapping[str, Json], key: str, path: str = "", *, default: bool = False) -> bool:
    """The boolean under ``key``. Raises InvalidInput."""
    value = document.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise InvalidInput(path + key, "must be true or false")
    return value


def instant(document: Mapping[str, Json], key: str, path: str = "") -> float:
    """The RFC 3339 instant under ``key`` as Unix seconds, 0.0 when absent. Raises InvalidInput."""
    said = text(document, key, path, limit=64)
    if not said:
        return 0.0
    try:
        when = datetime.fromisoformat(said)
        if when.tzinfo is None:
            raise ValueError("no offset")
        return when.timestamp()
    except (ValueError, OverflowError) as err:
        raise InvalidInput(path + key, "must be an RFC 3339 instant with its offset") from err


def rfc3339(at: float) -> str:
    """Unix seconds as RFC 3339 in UTC with microseconds; ``""`` for 0.0."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z") if at else ""


def _storable(value: str) -> bool:
    if "\0" in value:
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_json(value: Json, field: str, depth: int = 0) -> None:
    """Refuse what a store could not keep, at any depth of an open document."""
    if depth > MAX_DEPTH:
        raise InvalidInput(field, f"is nested deeper than {MAX_DEPTH}")
    if isinstance(value, str):
        if not _storable(value):
            raise InvalidInput(field, "holds a lone surrogate or a NUL, which is not text")
    elif isinstance(value, dict):
        for key, below in value.items():
            if not _storable(key):
                raise InvalidInput(field, "has a key that is not text")
            _check_json(below, f"{field}.{key[:64]}", depth + 1)
    elif isinstance(value, list):
        for i, below in enumerate(value):
            _check_json(below, f"{field}[{i}]", depth + 1)


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
    _check_json(metadata, path + "metadata")
    return Action(
        kind=text(doc, "kind", path, limit=MAX_NAME) or "tool_call",
        tool=text(doc, "tool", path, limit=MAX_NAME),
        publisher=text(doc, "publisher", path, limit=MAX_NAME),
        target=text(doc, "target", path),
        hash=text(doc, "hash", path, limit=MAX_NAME),
        metadata=metadata,
        id=text(doc, "id", path, limit=MAX_NAME),
        run_id=text(doc, "run_id", path, limit=MAX_NAME),
        act_id=text(doc, "act_id", path, limit=MAX_NAME),
        at=instant(doc, "at", path),
        agent=agent or text(doc, "agent", path, limit=MAX_NAME) or "default",
        organisation=text(doc, "organisation", path, limit=MAX_NAME),
        delegation=texts(doc, "delegation", path, limit=MAX_NAME),
        seen_by=texts(doc, "seen_by", path, limit=MAX_NAME),
    )


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
    _check_json(content, field + ".content")
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
        decision=Decision(decision),
        reason=text(doc, "reason", path),
        evidence=tuple(decode_finding(item, field=f"{path}evidence[{i}]") for i, item in enumerate(evidence)),
        confidence=confidence,
        notes=texts(doc, "notes", path),
        action_id=text(doc, "action_id", path, limit=MAX_NAME),
        policy_version=text(doc, "policy_version", path, limit=MAX_NAME),
        pending=_decode_pending(doc.get("pending"), path + "pending"),
        at=instant(doc, "at", path),
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
    )


def encode_declaration(declaration: Declaration) -> dict[str, Json]:
    """``decode_declaration`` gives it back."""
    return {
        "tools": list(declaration.tools),
        "destinations": list(declaration.destinations),
        "purpose": declaration.purpose,
    }
