"""Answers: what a peer gets instead of what was refused, in the protocol's own way."""

from __future__ import annotations

import json

from kaizen_security.contract.action import Json
from kaizen_security.mcp.frames import Id, Message

REFUSED = -32050
"""JSON-RPC error of a request that Kaizen refused (the range -32000 to -32099 is the implementation's own)."""
HANDSHAKE_ERAS = frozenset({"2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"})
VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
PREFIX = "Blocked by Kaizen: "


def encoded(document: Json) -> bytes:
    """A document as one frame, without its line end. Raises ValueError for a number that JSON cannot say."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8", "replace")


def error(id_: Id | None, code: int, message: str) -> bytes:
    """A JSON-RPC error reply."""
    return encoded({"jsonrpc": "2.0", "id": id_, "error": {"code": code, "message": message}})


def refusal(message: Message, reason: str) -> bytes:
    """The reply to a refused request: a tool's result with ``isError``, which the model gets to read; else an error."""
    said = PREFIX + reason
    if message.method != "tools/call":
        return error(message.id, REFUSED, said)
    result: dict[str, Json] = {"content": [{"type": "text", "text": said}], "isError": True}
    if _modern(message.params):
        result["resultType"] = "complete"
    return encoded({"jsonrpc": "2.0", "id": message.id, "result": result})


def _modern(params: Json) -> bool:
    """Whether the request is of an era in which a result has to say what it is (from 2026-07-28)."""
    meta = params.get("_meta") if isinstance(params, dict) else None
    version = meta.get(VERSION_KEY) if isinstance(meta, dict) else None
    return isinstance(version, str) and version not in HANDSHAKE_ERAS
