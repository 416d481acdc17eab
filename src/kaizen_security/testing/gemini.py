"""A turn of a model in Google's shape: ``generateContent``, whole or as server-sent events.

Source: Gemini API reference, "Generating content" (``GenerateContentResponse``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from kaizen_security.contract.action import Json
from kaizen_security.testing.dialects import Dialect, Turn, pieces


def _response(model: str, turn: Turn, parts: list[Json], finish: str | None) -> dict[str, Json]:
    candidate: dict[str, Json] = {"content": {"role": "model", "parts": parts}, "index": 0}
    if finish is not None:
        candidate |= {"finishReason": finish, **turn.about}
    return {
        "candidates": [candidate],
        "modelVersion": model,
        "responseId": "response_1",
        "usageMetadata": {
            "promptTokenCount": turn.input_tokens,
            "candidatesTokenCount": turn.output_tokens,
            "totalTokenCount": turn.input_tokens + turn.output_tokens,
        },
    }


def _calls(turn: Turn) -> list[Json]:
    return [{"functionCall": {"id": one.id, "name": one.tool, "args": dict(one.arguments)}} for one in turn.calls]


def _whole(model: str, turn: Turn) -> dict[str, Json]:
    said: list[Json] = [dict(one) for one in turn.items]
    said += [{"text": turn.text}] if turn.text else []
    return _response(model, turn, said + _calls(turn), "STOP")


def _stream(model: str, turn: Turn) -> Iterable[bytes]:
    for item in turn.items:
        yield _data(_response(model, turn, [dict(item)], None))
    for piece in pieces(turn.text):
        yield _data(_response(model, turn, [{"text": piece}], None))
    yield _data(_response(model, turn, _calls(turn), "STOP"))


def _data(document: dict[str, Json]) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\r\n\r\n"


GENERATE = Dialect(name="gemini", whole=_whole)
STREAM = Dialect(name="gemini", whole=_whole, stream=_stream, always_streams=True)
