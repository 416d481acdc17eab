"""A turn of a model in Amazon Bedrock's shape: Converse, whole or as an event stream.

Source: Amazon Bedrock API reference, ``Converse`` and ``ConverseStream``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from kaizen_security.contract.action import Json
from kaizen_security.testing.dialects import Dialect, Turn, pieces
from kaizen_security.testing.eventstream import CONTENT_TYPE, event


def _whole(model: str, turn: Turn) -> dict[str, Json]:
    content: list[Json] = [{"text": turn.text}] if turn.text else []
    content += [
        {"toolUse": {"toolUseId": one.id, "name": one.tool, "input": dict(one.arguments)}} for one in turn.calls
    ]
    return {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": "tool_use" if turn.calls else "end_turn",
        "usage": _usage(turn),
        "metrics": {"latencyMs": 1},
    }


def _stream(model: str, turn: Turn) -> Iterable[bytes]:
    yield event("messageStart", {"role": "assistant"})
    index = 0
    for piece in pieces(turn.text):
        yield event("contentBlockDelta", {"contentBlockIndex": index, "delta": {"text": piece}})
    if turn.text:
        yield event("contentBlockStop", {"contentBlockIndex": index})
        index += 1
    for call in turn.calls:
        start: Json = {"toolUse": {"toolUseId": call.id, "name": call.tool}}
        yield event("contentBlockStart", {"contentBlockIndex": index, "start": start})
        given: Json = {"toolUse": {"input": json.dumps(call.arguments)}}
        yield event("contentBlockDelta", {"contentBlockIndex": index, "delta": given})
        yield event("contentBlockStop", {"contentBlockIndex": index})
        index += 1
    yield event("messageStop", {"stopReason": "tool_use" if turn.calls else "end_turn"})
    yield event("metadata", {"usage": _usage(turn), "metrics": {"latencyMs": 1}})


def _usage(turn: Turn) -> dict[str, Json]:
    total = turn.input_tokens + turn.output_tokens
    return {"inputTokens": turn.input_tokens, "outputTokens": turn.output_tokens, "totalTokens": total}


CONVERSE = Dialect(name="converse", whole=_whole)
CONVERSE_STREAM = Dialect(name="converse", whole=_whole, stream=_stream, streams_as=CONTENT_TYPE, always_streams=True)
