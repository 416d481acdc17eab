"""An agent's account in the shapes in which frameworks tell of it. Pure: its plain steps in, their documents out.

Written from the vendors' own descriptions of their formats: Amazon Bedrock's ``InvokeAgent`` trace events, OpenTelemetry's semantic
conventions for GenAI (OTLP/HTTP JSON), the exporter of the OpenAI Agents SDK, the tracer of LangChain.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator
from datetime import datetime
from typing import Any

Line = dict[str, Any]


def documents(shape: str, lines: Iterator[tuple[float, Line]]) -> Iterator[tuple[float, Any]]:
    """When each document comes, and what it is.

    Bedrock and LangChain tell as it happens, OTLP when a span ends, the OpenAI Agents SDK when the run does.
    """
    if shape == "steps":
        for at, line in lines:
            yield at, line
    elif shape == "bedrock":
        broken = False
        for at, line in lines:
            if not (broken and line["step"] == "end"):
                yield from ((at, event) for event in _bedrock(line))
            # A function that breaks ends the invocation; what comes then is another one of the same session.
            broken = line.get("failed", broken and line["step"] == "end")
    elif shape == "otel":
        yield from _otel(lines)
    elif shape == "langchain":
        yield from _langchain(lines)
    else:
        yield from _openai(lines)


def _bedrock(line: Line) -> Iterator[Any]:
    trace: dict[str, Any] = {}
    agent = {"agentId": "AGENT12345", "agentAliasId": "ALIAS12345", "agentVersion": "1"}
    head = {**agent, "sessionId": line["run_id"], "eventTime": line["at"]}
    step = line["step"]
    if step == "message":
        trace = {"rationale": {"traceId": "t-0", "text": line["text"]}}
    elif step == "action":
        parameters = [
            {"name": name, "type": "string", "value": value if isinstance(value, str) else json.dumps(value)}
            for name, value in line["metadata"]["arguments"].items()
        ]
        called = {
            "actionGroupName": "tools",
            "function": line["tool"],
            "executionType": "LAMBDA",
            "parameters": parameters,
        }
        kind = {"invocationType": "ACTION_GROUP", "actionGroupInvocationInput": called}
        trace = {"invocationInput": {"traceId": line["id"], **kind}}
    elif step == "result":
        text = line["content"] if isinstance(line["content"], str) else json.dumps(line["content"])
        if line["failed"]:
            yield {**head, "trace": {"failureTrace": {"traceId": line["action_id"], "failureReason": text}}}
            return
        seen = {"type": "ACTION_GROUP", "actionGroupInvocationOutput": {"text": text}}
        trace = {"observation": {"traceId": line["action_id"], **seen}}
    elif step == "end":
        trace = {"observation": {"traceId": "t-9", "type": "FINISH", "finalResponse": {"text": "Done."}}}
    if trace:
        yield {**head, "trace": {"orchestrationTrace": trace}}


def _otel(lines: Iterator[tuple[float, Line]]) -> Iterator[tuple[float, Any]]:
    begun: dict[str, Line] = {}
    request: Line = {}
    for at, line in lines:
        if line["step"] == "request":
            request = line
        elif line["step"] == "action":
            begun[line["id"]] = line
        elif line["step"] == "result":
            call = begun.pop(line["action_id"])
            facts = {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": call["tool"],
                "gen_ai.tool.call.id": call["id"],
                "gen_ai.tool.call.arguments": json.dumps(call["metadata"]["arguments"]),
                "gen_ai.tool.call.result": json.dumps(line["content"]),
            }
            yield at, _span(call, line, f"execute_tool {call['tool']}", facts, failed=line["failed"])
        elif line["step"] == "message":
            said = [
                {"role": "assistant", "parts": [{"type": "text", "content": line["text"]}], "finish_reason": "stop"}
            ]
            facts = {"gen_ai.operation.name": "chat", "gen_ai.output.messages": json.dumps(said)}
            yield at, _span(line, line, "chat", facts)
        elif line["step"] == "end":
            asked = [{"role": "user", "parts": [{"type": "text", "content": request["text"]}]}]
            facts = {
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.agent.name": line["agent"],
                "gen_ai.conversation.id": line["run_id"],
                "gen_ai.input.messages": json.dumps(asked),
            }
            yield at, _span(request, line, f"invoke_agent {line['agent']}", facts, root=True)


def _span(begin: Line, end: Line, name: str, facts: dict[str, str], *, failed: bool = False, root: bool = False) -> Any:
    trace = _hex(begin["run_id"], 32)
    span = {
        "traceId": trace,
        "spanId": _hex(f"{begin['run_id']} root" if root else f"{begin['run_id']} {begin['at']}", 16),
        "name": name,
        "kind": 1,
        "startTimeUnixNano": str(_nano(begin["at"])),
        "endTimeUnixNano": str(_nano(end["at"])),
        "attributes": [{"key": key, "value": {"stringValue": value}} for key, value in facts.items()],
        "status": {"code": 2} if failed else {},
    }
    if not root:
        span["parentSpanId"] = _hex(f"{begin['run_id']} root", 16)
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": begin["agent"]}}]}
    return {"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "agent"}, "spans": [span]}]}]}


def _openai(lines: Iterator[tuple[float, Line]]) -> Iterator[tuple[float, Any]]:
    begun: dict[str, Line] = {}
    spans: list[Any] = []
    for at, line in lines:
        trace = f"trace_{_hex(line['run_id'], 32)}"
        if line["step"] == "action":
            begun[line["id"]] = line
        elif line["step"] == "result":
            call = begun.pop(line["action_id"])
            output = line["content"] if isinstance(line["content"], str) else json.dumps(line["content"])
            data = {
                "type": "function",
                "name": call["tool"],
                "input": json.dumps(call["metadata"]["arguments"]),
                "output": output,
            }
            error = {"message": "Error running tool", "data": {"error": output}} if line["failed"] else None
            spans.append(
                {
                    "object": "trace.span",
                    "id": f"span_{_hex(call['run_id'] + call['id'], 24)}",
                    "trace_id": trace,
                    "parent_id": None,
                    "started_at": call["at"],
                    "ended_at": line["at"],
                    "span_data": data,
                    "error": error,
                }
            )
        elif line["step"] == "end":
            head = {"object": "trace", "id": trace, "workflow_name": line["agent"], "group_id": None, "metadata": None}
            yield at, {"data": [head, *spans]}


def _langchain(lines: Iterator[tuple[float, Line]]) -> Iterator[tuple[float, Any]]:
    root = ""
    for at, line in lines:
        run = line["run_id"]
        if line["step"] == "request":
            root = _uuid(run)
            begun = {"id": root, "trace_id": root, "name": "agent", "run_type": "chain", "start_time": line["at"]}
            yield at, {"post": [{**begun, "inputs": {"input": line["text"]}}], "patch": []}
        elif line["step"] == "action":
            begun = {"id": _uuid(run + line["id"]), "trace_id": root, "parent_run_id": root, "name": line["tool"]}
            told = {"run_type": "tool", "start_time": line["at"], "inputs": line["metadata"]["arguments"]}
            yield at, {"post": [{**begun, **told}], "patch": []}
        elif line["step"] == "result":
            ended = {
                "id": _uuid(run + line["action_id"]),
                "trace_id": root,
                "parent_run_id": root,
                "end_time": line["at"],
            }
            said: dict[str, Any] = {"outputs": {"output": line["content"]}, "error": None}
            if line["failed"]:
                said = {"outputs": None, "error": str(line["content"])}
            yield at, {"post": [], "patch": [{**ended, "run_type": "tool", **said}]}
        elif line["step"] == "end":
            ended = {
                "id": root,
                "trace_id": root,
                "end_time": line["at"],
                "outputs": {"output": "Done."},
                "error": None,
            }
            yield at, {"post": [], "patch": [{**ended, "run_type": "chain"}]}


def _hex(text: str, size: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:size]


def _uuid(text: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, text))


def _nano(stamp: str) -> int:
    return int(datetime.fromisoformat(stamp).timestamp() * 1_000_000) * 1000
