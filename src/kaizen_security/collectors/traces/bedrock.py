"""Trace events of Amazon Bedrock agents, as ``InvokeAgent`` streams them, to steps. Pure.

Shapes: TracePart, ReturnControlPayload and PayloadPart of the service model ``bedrock-agent-runtime``, with times as boto3's
datetimes print them or as numbers. A list of events, ``{"events": […]}``, or one event.
"""

from __future__ import annotations

from collections.abc import Mapping

from kaizen_security.collectors.traces.telling import Telling, held, moment, name, text
from kaizen_security.contract.action import Json
from kaizen_security.contract.step import Step


def is_bedrock(document: Json) -> bool:
    """Whether it is an event of a Bedrock agent, with or without the stream's envelope."""
    if not isinstance(document, dict):
        return False
    inner = document.get("trace")
    return "returnControl" in document or (
        isinstance(inner, dict)
        and (_is_part(document) or _is_part(inner) or any(key.endswith("Trace") for key in inner))
    )


def _is_part(document: Mapping[str, Json]) -> bool:
    inner = document.get("trace")
    return isinstance(inner, dict) and any(key.endswith("Trace") for key in inner)


def steps(events: list[Json], agent: str, run: str = "") -> list[Step]:
    """The steps that these events tell of; ``run`` where they state no session."""
    telling = Telling(agent, "bedrock-trace")
    for event in events:
        if isinstance(event, dict):
            _event(event, telling, run)
    return telling.steps


def _event(event: dict[str, Json], telling: Telling, run: str) -> None:
    control = held(event, "returnControl")
    if control:
        _returned(control, telling, run)
        return
    part = event if _is_part(event) else held(event, "trace")
    inner = held(part, "trace") or part
    session = name(part.get("sessionId")) or run
    at = moment(part.get("eventTime"))
    for kind in ("orchestrationTrace", "routingClassifierTrace"):
        found = held(inner, kind)
        if found:
            _orchestration(found, telling, session, at)
    failure = held(inner, "failureTrace")
    if failure:
        telling.ended(session, at or _ended(failure), completed=False)


def _orchestration(found: dict[str, Json], telling: Telling, run: str, at: float) -> None:
    rationale = text(held(found, "rationale").get("text"))
    if rationale:
        telling.said(run, rationale, at)
    given = held(found, "invocationInput")
    if given:
        _invoked(given, telling, run, at)
    seen = held(found, "observation")
    if seen:
        _observed(seen, telling, run, at)


def _invoked(given: dict[str, Json], telling: Telling, run: str, at: float) -> None:
    id_ = _id(run, given.get("traceId"))
    group = held(given, "actionGroupInvocationInput")
    if group:
        telling.called(run, id_, _tool(group), _parameters(group), at, publisher=name(group.get("actionGroupName")))
        return
    code = held(given, "codeInterpreterInvocationInput")
    if code:
        telling.called(run, id_, "code_interpreter", {"code": text(code.get("code"))}, at)
        return
    lookup = held(given, "knowledgeBaseLookupInput")
    if lookup:
        telling.called(run, id_, "knowledge_base", {"text": text(lookup.get("text"))}, at)
        return
    other = held(given, "agentCollaboratorInvocationInput")
    if other:
        said: dict[str, Json] = {"text": text(held(other, "input").get("text"))}
        telling.called(run, id_, name(other.get("agentCollaboratorName")) or "collaborator", said, at)


def _observed(seen: dict[str, Json], telling: Telling, run: str, at: float) -> None:
    id_ = _id(run, seen.get("traceId"))
    final = held(seen, "finalResponse")
    if final:
        telling.said(run, text(final.get("text")), at)
        telling.ended(run, at or _ended(final))
        return
    for key, content in (
        ("actionGroupInvocationOutput", "text"),
        ("codeInterpreterInvocationOutput", "executionOutput"),
        ("knowledgeBaseLookupOutput", "retrievedReferences"),
        ("agentCollaboratorInvocationOutput", "output"),
    ):
        found = held(seen, key)
        if found:
            failed = bool(text(found.get("executionError"))) or found.get("executionTimeout") is True
            telling.brought(run, id_, found.get(content), at or _ended(found), failed=failed)


def _returned(control: dict[str, Json], telling: Telling, run: str) -> None:
    """What the agent hands back to its caller to do."""
    inputs = control.get("invocationInputs")
    for number, one in enumerate(inputs if isinstance(inputs, list) else []):
        if not isinstance(one, dict):
            continue
        found = held(one, "functionInvocationInput") or held(one, "apiInvocationInput")
        group = {**found, "verb": found.get("httpMethod")}
        id_ = f"{name(control.get('invocationId'))}-{number}"
        telling.called(run, id_, _tool(group), _parameters(group), 0.0, publisher=name(found.get("actionGroup")))


def _tool(group: Mapping[str, Json]) -> str:
    function = name(group.get("function"))
    if function:
        return function
    return f"{name(group.get('verb')).upper()} {name(group.get('apiPath'))}".strip() or name(
        group.get("actionGroupName")
    )


def _parameters(group: Mapping[str, Json]) -> dict[str, Json]:
    given = _values(group.get("parameters"))
    content = held(held(group, "requestBody"), "content") or held(held(group, "requestBody"), "contentType")
    for kind, value in content.items():
        properties = value.get("properties") if isinstance(value, dict) else value
        given[f"body {kind}"[:64]] = {**_values(properties)}
    return given


def _values(parameters: Json) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for one in parameters if isinstance(parameters, list) else []:
        if isinstance(one, dict) and isinstance(one.get("name"), str):
            found[name(one["name"])] = one.get("value")
    return found


def _id(run: str, trace: Json) -> str:
    return f"{run}/{name(trace)}"[-256:]


def _ended(found: Mapping[str, Json]) -> float:
    return moment(held(found, "metadata").get("endTime"))
