"""Spans of instrumentations that write conventions of their own, in the words of OpenTelemetry's GenAI ones.

OpenInference (``openinference.span.kind``) tells of tools and of what a model was asked; OpenLLMetry (``traceloop.span.kind``) of
tools by that kind, or as LlamaIndex's tasks. Only what says of itself that it is a tool's call is one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

MAX_MESSAGES = 200
_OPERATION, _TOOL, _GIVEN, _BROUGHT = (
    "gen_ai.operation.name",
    "gen_ai.tool.name",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
)


def translated(name: str, attributes: Mapping[str, object]) -> Mapping[str, object]:
    """``attributes`` of the span ``name``, with those of the GenAI conventions beside them where it has none."""
    if _OPERATION in attributes:
        return attributes
    kind = attributes.get("openinference.span.kind")
    if kind == "TOOL":
        given, brought = _document(attributes.get("input.value")), _document(attributes.get("output.value"))
        tool = _text(attributes.get("tool.name")) or name
        return _call(attributes, tool, given, brought, attributes.get("tool_call.id"))
    if kind == "LLM":
        return {**attributes, _OPERATION: "chat", "gen_ai.input.messages": json.dumps(_messages(attributes))}
    if attributes.get("traceloop.span.kind") in ("tool", "task"):
        return _traceloop(name, attributes)
    return attributes


def _messages(attributes: Mapping[str, object]) -> list[object]:
    """OpenInference writes each message of a list as attributes of its own, by its number."""
    found: list[object] = []
    for i in range(MAX_MESSAGES):
        head = f"llm.input_messages.{i}.message."
        role = attributes.get(head + "role")
        if role is None:
            break
        content = _text(attributes.get(head + "content"))
        parts = [content] if content else []
        parts += [
            said
            for j in range(MAX_MESSAGES if not content else 0)
            if (said := _text(attributes.get(f"{head}contents.{j}.message_content.text")))
        ]
        if role == "user":
            found.append({"role": "user", "parts": [{"type": "text", "content": text} for text in parts]})
    return found


def _traceloop(name: str, attributes: Mapping[str, object]) -> Mapping[str, object]:
    given = _document(attributes.get("traceloop.entity.input"))
    brought = _document(attributes.get("traceloop.entity.output"))
    if attributes.get("traceloop.span.kind") == "tool":
        return _call(attributes, _text(attributes.get("traceloop.entity.name")) or name, given, brought)
    # LlamaIndex's own object around what a tool brought, which names the tool; the span is called after its class.
    if isinstance(brought, dict) and {"tool_name", "raw_input", "raw_output"} <= brought.keys():
        return _call(attributes, _text(brought["tool_name"]), given, brought)
    return attributes


def _call(
    attributes: Mapping[str, object], tool: str, given: object, brought: object, call_id: object = None
) -> Mapping[str, object]:
    if isinstance(given, dict) and given.keys() <= {"args", "kwargs"} and isinstance(given.get("kwargs"), dict):
        # LlamaIndex gives a tool of one argument that one without its name: then both are what was given.
        given = given if given.get("args") else given["kwargs"]
    if isinstance(brought, dict) and "raw_output" in brought:
        brought = brought["raw_output"]
    found = {_OPERATION: "execute_tool", _TOOL: tool, _GIVEN: given, _BROUGHT: brought}
    return {**attributes, **found, "gen_ai.tool.call.id": _text(call_id)}


def _document(value: object) -> object:
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
