"""What an agent of Amazon Bedrock answers: the event stream of ``InvokeAgent``, in the shapes of botocore's service model.

>>> from kaizen_security.testing import bedrock_agents as agents
>>> line = agents.answer(agents.rationale("I look the order up."), agents.text("It is on its way."))
>>> line.headers["Content-Type"]
'application/vnd.amazon.eventstream'
"""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from kaizen_security.contract.action import Json
from kaizen_security.testing.dialects import Dialect, Raw, Turn
from kaizen_security.testing.eventstream import CONTENT_TYPE, exception, stream

Event: TypeAlias = tuple[str, dict[str, Json]]
"""Its name and its document."""

AGENT, ALIAS, SESSION = "AGENT00001", "ALIAS00001", "session-1"
_TRACE_IDS = itertools.count(1)
_LAST = ["trace-0"]
"""The trace id of the last invocation: what it brings back carries the same."""


def answer(*events: Event) -> Raw:
    """A line for ``ModelServer.say``: these events, one after the other."""
    return Raw(body=stream(events), headers=_HEADERS)


def broken(name: str, said: str, *events: Event) -> Raw:
    """A line of a stream that goes wrong after ``events``; ``name`` as in the service model: ``throttlingException`` …"""
    return Raw(body=stream(events) + exception(name, said), headers=_HEADERS)


def text(said: str) -> Event:
    """A piece of the final answer."""
    return "chunk", {"bytes": base64.b64encode(said.encode()).decode()}


def rationale(said: str, **of: str) -> Event:
    """What the agent says that it will do. ``of``: ``collaborator``, for one that works for another agent."""
    return _trace({"rationale": {"text": said, "traceId": _trace_id()}}, **of)


def calls(function: str, arguments: Mapping[str, str], *, group: str = "orders", **of: str) -> Event:
    """An action group is about to be invoked, by the service itself."""
    given: list[Json] = [{"name": name, "type": "string", "value": value} for name, value in arguments.items()]
    invoked: Json = {"actionGroupName": group, "function": function, "parameters": given, "executionType": "LAMBDA"}
    return _input("ACTION_GROUP", {"actionGroupInvocationInput": invoked}, **of)


def calls_api(method: str, path: str, arguments: Mapping[str, str], *, group: str = "orders", **of: str) -> Event:
    """The same for an action group that is described by an OpenAPI schema."""
    given: list[Json] = [{"name": name, "type": "string", "value": value} for name, value in arguments.items()]
    invoked: Json = {"actionGroupName": group, "verb": method, "apiPath": path, "parameters": given}
    return _input("ACTION_GROUP", {"actionGroupInvocationInput": invoked}, **of)


def returned(said: str, **of: str) -> Event:
    """What an action group brought back."""
    return _observation("ACTION_GROUP", {"actionGroupInvocationOutput": {"text": said}}, **of)


def final(said: str, **of: str) -> Event:
    """The last observation of a turn: what the agent answers."""
    return _observation("FINISH", {"finalResponse": {"text": said}}, **of)


def looks_up(question: str, *, base: str = "KB00000001", **of: str) -> Event:
    """A knowledge base is asked."""
    asked: Json = {"knowledgeBaseId": base, "text": question}
    return _input("KNOWLEDGE_BASE", {"knowledgeBaseLookupInput": asked}, **of)


def found(*passages: tuple[str, str], **of: str) -> Event:
    """What it found: pairs of a passage and the S3 address that it comes from."""
    references: list[Json] = [
        {"content": {"text": said}, "location": {"type": "S3", "s3Location": {"uri": where}}}
        for said, where in passages
    ]
    return _observation("KNOWLEDGE_BASE", {"knowledgeBaseLookupOutput": {"retrievedReferences": references}}, **of)


def runs_code(code: str, **of: str) -> Event:
    """The code interpreter is given a program."""
    return _input("ACTION_GROUP_CODE_INTERPRETER", {"codeInterpreterInvocationInput": {"code": code}}, **of)


def printed(said: str, **of: str) -> Event:
    """What the program printed."""
    return _observation("ACTION_GROUP", {"codeInterpreterInvocationOutput": {"executionOutput": said}}, **of)


def hands_over(name: str, said: str, **of: str) -> Event:
    """A collaborator is given work."""
    given: Json = {
        "agentCollaboratorName": name,
        "agentCollaboratorAliasArn": f"arn:aws:bedrock:eu-central-1:123456789012:agent-alias/{name}/A",
        "input": {"type": "TEXT", "text": said},
    }
    return _input("AGENT_COLLABORATOR", {"agentCollaboratorInvocationInput": given}, **of)


def hands_back(name: str, said: str, **of: str) -> Event:
    """What a collaborator answered."""
    given: Json = {"agentCollaboratorName": name, "output": {"type": "TEXT", "text": said}}
    return _observation("AGENT_COLLABORATOR", {"agentCollaboratorInvocationOutput": given}, **of)


def wants(
    *functions: tuple[str, Mapping[str, Json]],
    invocation: str = "invocation-1",
    group: str = "orders",
    kind: str = "RESULT",
) -> Event:
    """Control is returned: the caller is to run these functions."""
    inputs: list[Json] = [
        {
            "functionInvocationInput": {
                "actionGroup": group,
                "function": function,
                "agentId": AGENT,
                "actionInvocationType": kind,
                "parameters": [_parameter(name, value) for name, value in arguments.items()],
            }
        }
        for function, arguments in functions
    ]
    return "returnControl", {"invocationId": invocation, "invocationInputs": inputs}


def wants_api(
    method: str, path: str, arguments: Mapping[str, str], *, invocation: str = "invocation-1", group: str = "orders"
) -> Event:
    """The same for one operation of an OpenAPI schema, with a JSON body."""
    properties: list[Json] = [{"name": name, "type": "string", "value": value} for name, value in arguments.items()]
    one: Json = {
        "apiInvocationInput": {
            "actionGroup": group,
            "apiPath": path,
            "httpMethod": method,
            "agentId": AGENT,
            "actionInvocationType": "RESULT",
            "requestBody": {"content": {"application/json": {"properties": properties}}},
        }
    }
    return "returnControl", {"invocationId": invocation, "invocationInputs": [one]}


def _trace(orchestration: dict[str, Json], *, collaborator: str = "") -> Event:
    part: dict[str, Json] = {
        "agentId": AGENT,
        "agentAliasId": ALIAS,
        "sessionId": SESSION,
        "trace": {"orchestrationTrace": orchestration},
    }
    if collaborator:
        part["collaboratorName"] = collaborator
        part["callerChain"] = [
            {"agentAliasArn": f"arn:aws:bedrock:eu-central-1:123456789012:agent-alias/{AGENT}/{ALIAS}"}
        ]
    return "trace", part


def _input(kind: str, given: dict[str, Json], **of: str) -> Event:
    return _trace({"invocationInput": {"invocationType": kind, "traceId": _trace_id(), **given}}, **of)


def _observation(kind: str, given: dict[str, Json], **of: str) -> Event:
    return _trace({"observation": {"type": kind, "traceId": _LAST[0], **given}}, **of)


def _trace_id() -> str:
    _LAST[0] = f"trace-{next(_TRACE_IDS)}"
    return _LAST[0]


def _whole(model: str, turn: Turn) -> dict[str, Json]:
    return {"completion": turn.text}


def _stream(model: str, turn: Turn) -> Iterable[bytes]:
    """A plain turn: its calls are returned to the caller to run, else its text is the answer."""
    events = [text(turn.text)] if turn.text else []
    if turn.calls:
        events.append(wants(*((one.tool, one.arguments) for one in turn.calls)))
    yield stream(events)


def _parameter(name: str, value: Json) -> Json:
    """Everything goes as text, with the type that the schema would state."""
    kinds = {bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}
    said = value if isinstance(value, str) else json.dumps(value)
    return {"name": name, "type": kinds.get(type(value), "string"), "value": said}


_HEADERS = {
    "Content-Type": CONTENT_TYPE,
    "x-amzn-bedrock-agent-content-type": "application/json",
    "x-amz-bedrock-agent-session-id": SESSION,
}
INVOKE_AGENT = Dialect(name="agent", whole=_whole, stream=_stream, streams_as=CONTENT_TYPE, always_streams=True)
