"""One turn of a model in the shapes of the providers: OpenAI (chat completions, responses) and Anthropic.

What a turn says is neutral; how it is written is each provider's own, whole or streamed as server-sent events (WHATWG HTML 9.2)
where the provider streams so. Shapes: the providers' API references.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count

from kaizen_security.contract.action import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A tool that the model asks to be run.

    OpenAI's responses also have ``namespace``, the group of tools that it is of, and ``text``, which a tool without a schema of
    arguments gets in their place.
    """

    tool: str
    arguments: Mapping[str, Json] = field(default_factory=dict)
    id: str = "call_1"
    namespace: str = ""
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A program that the provider's own interpreter ran before the model answered; in OpenAI's responses only."""

    program: str
    output: str = ""
    id: str = "ci_1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """What the model says, and which tools it wants. ``input_tokens`` and ``output_tokens`` are what it is said to have cost.

    ``items`` are parts of the answer in the provider's own shape, which stand before the others: output items of OpenAI's
    responses, content blocks of Anthropic's messages, parts of Google's content. ``about`` stands beside the content in Google's
    candidates.
    """

    text: str = ""
    calls: tuple[Call, ...] = ()
    ran: tuple[Ran, ...] = ()
    items: tuple[Mapping[str, Json], ...] = ()
    about: Mapping[str, Json] = field(default_factory=dict)
    input_tokens: int = 100
    output_tokens: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """An answer that is no turn: an error, a redirect, another shape, far too much."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """A provider's shapes. ``stream`` is None where this endpoint does not stream; ``streams_as`` is its content type.

    ``always_streams``: the endpoint streams whatever the request says; else ``"stream": true`` in the request asks for it.
    """

    name: str
    whole: Callable[[str, Turn], dict[str, Json]]
    stream: Callable[[str, Turn], Iterable[bytes]] | None = None
    streams_as: str = "text/event-stream"
    always_streams: bool = False


# --- OpenAI, chat completions (Azure's deployments speak it too) -------------------------------------------------------------


def _chat(model: str, turn: Turn) -> dict[str, Json]:
    message: dict[str, Json] = {"role": "assistant", "content": turn.text or None}
    if turn.calls:
        message["tool_calls"] = [_chat_call(one) for one in turn.calls]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if turn.calls else "stop"}],
        "usage": _chat_usage(turn),
    }


def _chat_call(call: Call) -> dict[str, Json]:
    return {"id": call.id, "type": "function", "function": {"name": call.tool, "arguments": json.dumps(call.arguments)}}


def _chat_usage(turn: Turn) -> dict[str, Json]:
    total = turn.input_tokens + turn.output_tokens
    return {"prompt_tokens": turn.input_tokens, "completion_tokens": turn.output_tokens, "total_tokens": total}


def _chat_stream(model: str, turn: Turn) -> Iterable[bytes]:
    head: dict[str, Json] = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": model}

    def chunk(delta: dict[str, Json], finish: str | None = None) -> bytes:
        return _data({**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    yield chunk({"role": "assistant", "content": ""})
    for word in pieces(turn.text):
        yield chunk({"content": word})
    for index, call in enumerate(turn.calls):
        yield chunk({"tool_calls": [{"index": index, **_chat_call(call)}]})
    yield chunk({}, "tool_calls" if turn.calls else "stop")
    yield _data({**head, "choices": [], "usage": _chat_usage(turn)})
    yield b"data: [DONE]\n\n"


# --- OpenAI, responses --------------------------------------------------------------------------------------------------------


def _responses(model: str, turn: Turn) -> dict[str, Json]:
    output: list[Json] = [dict(one) for one in turn.items]
    output += [_responses_ran(one) for one in turn.ran]
    if turn.text:
        content: list[Json] = [{"type": "output_text", "text": turn.text, "annotations": []}]
        output.append(
            {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": content}
        )
    output += [_responses_call(one) for one in turn.calls]
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": model,
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": turn.input_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": turn.output_tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": turn.input_tokens + turn.output_tokens,
        },
    }


def _responses_call(call: Call) -> dict[str, Json]:
    named: dict[str, Json] = {"call_id": call.id, "name": call.tool, "status": "completed"}
    if call.namespace:
        named["namespace"] = call.namespace
    if call.text is not None:
        return {"type": "custom_tool_call", "id": f"ctc_{call.id}", **named, "input": call.text}
    return {"type": "function_call", "id": f"fc_{call.id}", **named, "arguments": json.dumps(call.arguments)}


def _responses_ran(ran: Ran) -> dict[str, Json]:
    logs: list[Json] = [{"type": "logs", "logs": ran.output}]
    said: dict[str, Json] = {"container_id": "cntr_1", "code": ran.program, "outputs": logs, "status": "completed"}
    return {"type": "code_interpreter_call", "id": ran.id, **said}


_STREAMED = {
    "message": "content",
    "function_call": "arguments",
    "custom_tool_call": "input",
    "code_interpreter_call": "code",
}
"""What of an item comes piece by piece."""


def _responses_stream(model: str, turn: Turn) -> Iterable[bytes]:
    whole = _responses(model, turn)
    numbers = count()

    def event(name: str, document: dict[str, Json]) -> bytes:
        return f"event: {name}\n".encode() + _data({"type": name, "sequence_number": next(numbers), **document})

    begun: Json = {**whole, "status": "in_progress", "output": [], "usage": None}
    yield event("response.created", {"response": begun})
    items = whole["output"]
    for index, item in enumerate(items if isinstance(items, list) else []):
        assert isinstance(item, dict)
        place: dict[str, Json] = {"output_index": index, "item_id": item.get("id")}
        kind = str(item["type"])
        if index < len(turn.items):
            yield event("response.output_item.added", {"output_index": index, "item": item})
            yield event("response.output_item.done", {"output_index": index, "item": item})
            continue
        slow = _STREAMED[kind]
        empty: Json = {**item, "status": "in_progress", slow: [] if slow == "content" else ""}
        yield event("response.output_item.added", {"output_index": index, "item": empty})
        if kind == "message":
            part: Json = {"type": "output_text", "text": "", "annotations": []}
            place = {**place, "content_index": 0}
            yield event("response.content_part.added", {**place, "part": part})
            for word in pieces(turn.text):
                yield event("response.output_text.delta", {**place, "delta": word, "logprobs": []})
            yield event("response.output_text.done", {**place, "text": turn.text, "logprobs": []})
        else:
            said, name = item[slow], f"response.{kind}_{slow}"
            yield event(f"{name}.delta", {**place, "delta": said})
            more: dict[str, Json] = {"name": item["name"]} if kind == "function_call" else {}
            yield event(f"{name}.done", {**place, slow: said, **more})
        yield event("response.output_item.done", {"output_index": index, "item": item})
    yield event("response.completed", {"response": whole})


# --- Anthropic, messages --------------------------------------------------------------------------------------------------------


def _messages(model: str, turn: Turn) -> dict[str, Json]:
    content: list[Json] = [dict(one) for one in turn.items]
    content += [{"type": "text", "text": turn.text}] if turn.text else []
    content += [
        {"type": "tool_use", "id": one.id, "name": one.tool, "input": dict(one.arguments)} for one in turn.calls
    ]
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": "tool_use" if turn.calls else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": turn.input_tokens, "output_tokens": turn.output_tokens},
    }


def _messages_stream(model: str, turn: Turn) -> Iterable[bytes]:
    def event(name: str, document: dict[str, Json]) -> bytes:
        return f"event: {name}\n".encode() + _data({"type": name, **document})

    whole = _messages(model, turn)
    usage: Json = {"input_tokens": turn.input_tokens, "output_tokens": 1}
    yield event("message_start", {"message": {**whole, "content": [], "stop_reason": None, "usage": usage}})
    index = 0
    for item in turn.items:
        given = item.get("input")
        begun: Json = {**item, "input": {}} if given is not None else dict(item)
        yield event("content_block_start", {"index": index, "content_block": begun})
        if given is not None:
            piece: Json = {"type": "input_json_delta", "partial_json": json.dumps(given)}
            yield event("content_block_delta", {"index": index, "delta": piece})
        yield event("content_block_stop", {"index": index})
        index += 1
    if turn.text:
        yield event("content_block_start", {"index": index, "content_block": {"type": "text", "text": ""}})
        for word in pieces(turn.text):
            yield event("content_block_delta", {"index": index, "delta": {"type": "text_delta", "text": word}})
        yield event("content_block_stop", {"index": index})
        index += 1
    for call in turn.calls:
        block: Json = {"type": "tool_use", "id": call.id, "name": call.tool, "input": {}}
        said: Json = {"type": "input_json_delta", "partial_json": json.dumps(call.arguments)}
        yield event("content_block_start", {"index": index, "content_block": block})
        yield event("content_block_delta", {"index": index, "delta": said})
        yield event("content_block_stop", {"index": index})
        index += 1
    delta: Json = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield event("message_delta", {"delta": delta, "usage": {"output_tokens": turn.output_tokens}})
    yield event("message_stop", {})


def pieces(text: str) -> list[str]:
    """A text word by word, as providers stream it."""
    words = text.split(" ")
    return [word if i == 0 else " " + word for i, word in enumerate(words)] if text else []


def _data(document: dict[str, Json]) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


CHAT = Dialect(name="chat", whole=_chat, stream=_chat_stream)
RESPONSES = Dialect(name="responses", whole=_responses, stream=_responses_stream)
MESSAGES = Dialect(name="messages", whole=_messages, stream=_messages_stream)
