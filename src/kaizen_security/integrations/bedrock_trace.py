"""Events of an Amazon Bedrock agent, as botocore decodes them, in our words. Pure.

Shapes: ``TracePart`` and ``ReturnControlPayload`` of the service model ``bedrock-agent-runtime``. What is missing or has another
shape is passed over: a stream of tomorrow must not break the host of today.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

TRACES = ("orchestrationTrace", "routingClassifierTrace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Words of an agent: what it says that it will do (``rationale``), or its final answer."""

    text: str
    final: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """The service itself does something for the agent: an action group, a knowledge base, the code interpreter."""

    id: str
    tool: str
    arguments: Mapping[str, object]
    kind: str = "tool_call"
    publisher: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """What came back."""

    id: str
    content: object
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """Work goes to a collaborator."""

    to: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Broke:
    """The run failed."""

    reason: str


Told: TypeAlias = Said | Called | Brought | Handed | Broke


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One function or operation that control was returned for. ``shape`` is ``function`` or ``api``; ``given`` as it came."""

    shape: str
    tool: str
    arguments: Mapping[str, object]
    publisher: str
    collaborator: str
    confirms: bool
    given: Mapping[str, Any]


def told(part: Mapping[str, Any]) -> Iterator[Told]:
    """What one ``TracePart`` tells, in order."""
    trace = _held(part, "trace")
    for name in TRACES:
        yield from _orchestration(_held(trace, name))
    broke = _held(trace, "failureTrace")
    if broke:
        yield Broke(reason=_text(broke.get("failureReason")))


def wanted(control: Mapping[str, Any]) -> list[Wanted]:
    """What a ``returnControl`` event asks its caller to do, one for each entry that has a known shape."""
    found = (_wanted(one) for one in control.get("invocationInputs") or ())
    return [one for one in found if one is not None]


def _wanted(one: Mapping[str, Any]) -> Wanted | None:
    for shape in ("function", "api"):
        given = _held(one, f"{shape}InvocationInput")
        if given:
            return Wanted(
                shape=shape,
                tool=_tool({**given, "verb": given.get("httpMethod")}),
                arguments=_arguments(given),
                publisher=_text(given.get("actionGroup")),
                collaborator=_text(given.get("collaboratorName")),
                confirms=_text(given.get("actionInvocationType")).startswith("USER_CONFIRMATION"),
                given=one,
            )
    return None


def refusal(wanted: Wanted, text: str) -> dict[str, Any]:
    """The entry of ``returnControlInvocationResults`` by which the model reads ``text`` in place of a result."""
    given = wanted.given[f"{wanted.shape}InvocationInput"]
    names = (
        ("actionGroup", "agentId", "function")
        if wanted.shape == "function"
        else ("actionGroup", "agentId", "apiPath", "httpMethod")
    )
    result: dict[str, Any] = {name: given[name] for name in names if given.get(name)}
    if wanted.confirms:
        result["confirmationState"] = "DENY"
    if wanted.shape == "function":
        result["responseBody"] = {"TEXT": {"body": text}}
    else:
        result |= {"httpStatusCode": 403, "responseBody": {"application/json": {"body": text}}}
    return {f"{wanted.shape}Result": result}


def result(wanted: Wanted, content: object) -> dict[str, Any]:
    """The entry by which the model reads what a function gave: text as it is, everything else as JSON."""
    said = content if isinstance(content, str) else json.dumps(content, default=str)
    entry = refusal(wanted, said)
    given = entry[f"{wanted.shape}Result"]
    if wanted.confirms:
        given["confirmationState"] = "CONFIRM"
    if wanted.shape == "api":
        given["httpStatusCode"] = 200
    return entry


def answers(wanted: Wanted, entry: Mapping[str, Any]) -> bool:
    """Whether an entry of ``returnControlInvocationResults`` is the result of it."""
    given = _held(entry, f"{wanted.shape}Result")
    same = _tool({**given, "verb": given.get("httpMethod")}) == wanted.tool
    return bool(given) and same and _text(given.get("actionGroup")) == wanted.publisher


def answered(entry: Mapping[str, Any]) -> tuple[object, bool]:
    """What an entry of ``returnControlInvocationResults`` says, and whether it says that it failed."""
    given = _held(entry, "functionResult") or _held(entry, "apiResult")
    bodies = [_text(body.get("body")) for body in _held(given, "responseBody").values() if isinstance(body, Mapping)]
    status = given.get("httpStatusCode")
    failed = given.get("responseState") == "FAILURE" or (isinstance(status, int) and status >= 400)
    return bodies[0] if len(bodies) == 1 else bodies, failed


def _orchestration(found: Mapping[str, Any]) -> Iterator[Told]:
    rationale = _text(_held(found, "rationale").get("text"))
    if rationale:
        yield Said(text=rationale)
    given, seen = _held(found, "invocationInput"), _held(found, "observation")
    if given:
        yield from _invoked(given)
    if seen:
        yield from _observed(seen)


def _invoked(given: Mapping[str, Any]) -> Iterator[Told]:
    id_ = _text(given.get("traceId"))
    group = _held(given, "actionGroupInvocationInput")
    if group and group.get("executionType") != "RETURN_CONTROL":
        publisher = _text(group.get("actionGroupName"))
        yield Called(id=id_, tool=_tool(group), arguments=_arguments(group), publisher=publisher)
    code = _held(given, "codeInterpreterInvocationInput")
    if code:
        yield Called(id=id_, tool="code_interpreter", arguments={"code": _text(code.get("code"))}, kind="exec")
    lookup = _held(given, "knowledgeBaseLookupInput")
    if lookup:
        publisher = _text(lookup.get("knowledgeBaseId"))
        yield Called(id=id_, tool="knowledge_base", arguments={"text": _text(lookup.get("text"))}, publisher=publisher)
    other = _held(given, "agentCollaboratorInvocationInput")
    if other:
        said = _text(_held(other, "input").get("text"))
        yield Handed(to=_text(other.get("agentCollaboratorName")) or "collaborator", text=said)


def _observed(seen: Mapping[str, Any]) -> Iterator[Told]:
    id_ = _text(seen.get("traceId"))
    final = _held(seen, "finalResponse")
    if final:
        yield Said(text=_text(final.get("text")), final=True)
    for key, content in (
        ("actionGroupInvocationOutput", "text"),
        ("codeInterpreterInvocationOutput", "executionOutput"),
        ("knowledgeBaseLookupOutput", "retrievedReferences"),
    ):
        found = _held(seen, key)
        if found:
            failed = bool(_text(found.get("executionError"))) or found.get("executionTimeout") is True
            yield Brought(id=id_, content=found.get(content), failed=failed)


def _tool(group: Mapping[str, Any]) -> str:
    """Its function's name, or ``VERB /path`` for an operation of an OpenAPI schema."""
    function = _text(group.get("function"))
    operation = f"{_text(group.get('verb')).upper()} {_text(group.get('apiPath'))}".strip()
    return function or operation or _text(group.get("actionGroupName")) or _text(group.get("actionGroup"))


def _arguments(group: Mapping[str, Any]) -> dict[str, object]:
    given = _values(group.get("parameters"))
    for kind, value in _held(_held(group, "requestBody"), "content").items():
        body = _values(value.get("properties") if isinstance(value, Mapping) else value)
        if set(body) & set(given):
            given[f"body {kind}"] = body
        else:
            given |= body
    return given


def _values(parameters: object) -> dict[str, object]:
    found = parameters if isinstance(parameters, list | tuple) else ()
    return {
        one["name"]: _typed(one.get("value"), _text(one.get("type")))
        for one in found
        if isinstance(one, Mapping) and isinstance(one.get("name"), str)
    }


def _typed(value: object, kind: str) -> object:
    """Everything comes as text, with the type that the schema states for it; what does not fit stays text."""
    if not isinstance(value, str) or kind not in ("number", "integer", "boolean", "array", "object"):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _held(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = document.get(key)
    return found if isinstance(found, Mapping) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
