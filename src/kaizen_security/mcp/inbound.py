"""Inbound: what comes from a server, before the model reads it. The relay asks a ward.

Here are the ward's shape, and the ward that looks at no text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.finding import Finding
from kaizen_security.mcp.frames import Message

MAX_PARSED = 256 << 10
"""Characters of a text result that is looked into as JSON."""


@dataclass(frozen=True, slots=True)
class Report:
    """What is wrong with ``action``, which a ward found by itself; ``blocked``: it was kept from the other side."""

    action: Action
    findings: tuple[Finding, ...]
    blocked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A message from the server, looked at.

    ``asks``      actions that have to be judged
    ``reports``   what is wrong with it
    ``reason``    why it is not passed on; empty when it is
    ``instead``   what is passed on in its place; empty: its own bytes
    ``content``   what the call brought back, for the Observer; ``failed`` when the server says that it did not work
    """

    asks: tuple[Action, ...] = ()
    reports: tuple[Report, ...] = ()
    reason: str = ""
    instead: bytes = b""
    content: Json = None
    failed: bool = False


class Ward(Protocol):
    """Looks at what comes from a server, and remembers which of its tools are held back."""

    def held(self, action: Action) -> Finding | None:
        """Why this call may not be made though no verdict forbids it; None when it may."""

    def takes(self, call: Message, arguments: frozenset[str]) -> bool:
        """Whether the tool that is called is known to have all of these arguments."""

    def marked(self, action: Action) -> Action:
        """The call with the digest of the definition that its tool has, where it is known."""

    def sent(self, message: Message, server: str) -> Arrival:
        """A request or notification of the server."""

    def replied(self, call: Message, reply: Message, server: str) -> Arrival:
        """The server's reply to ``call``."""

    def answered(self, call: Message, reply: Message, server: str) -> tuple[Action, ...]:
        """The client's reply to a request of the server: what has to be judged before it leaves."""

    def ruled(self, arrival: Arrival, asks: tuple[Action, ...], blocked: Mapping[str, str]) -> Arrival:
        """The arrival again, now that ``asks`` are judged, where there are any; ``blocked``: reasons by the action's id."""


class Nothing:
    """Looks at no text. Notes what calls bring back, and lets verdicts alone decide."""

    def held(self, action: Action) -> Finding | None:
        """Nothing is held back."""
        return None

    def takes(self, call: Message, arguments: frozenset[str]) -> bool:
        """Of no tool is anything known."""
        return False

    def marked(self, action: Action) -> Action:
        """Definitions are not looked at."""
        return action

    def sent(self, message: Message, server: str) -> Arrival:
        """Passed on."""
        return Arrival()

    def replied(self, call: Message, reply: Message, server: str) -> Arrival:
        """Passed on, and its content noted."""
        content, failed = brought(reply)
        return Arrival(content=content, failed=failed)

    def answered(self, call: Message, reply: Message, server: str) -> tuple[Action, ...]:
        """What a person or a model answers to the server is judged as a call of the server's own method."""
        result = reply.body.get("result")
        if call.method != "elicitation/create" or not isinstance(result, dict) or not result.get("content"):
            return ()
        metadata: dict[str, Json] = {"source": "mcp", "method": call.method, "arguments": result["content"]}
        return (Action(tool=call.method, publisher=server, metadata=metadata),)

    def ruled(self, arrival: Arrival, asks: tuple[Action, ...], blocked: Mapping[str, str]) -> Arrival:
        """Nothing changes."""
        return arrival


def brought(reply: Message) -> tuple[Json, bool]:
    """What a reply brought back, as the Observer wants it: fields where there are fields; and whether the call failed."""
    if "error" in reply.body:
        return reply.body["error"], True
    result = reply.body.get("result")
    if not isinstance(result, dict):
        return result, False
    failed = result.get("isError") is True
    if result.get("structuredContent") is not None:
        return result["structuredContent"], failed
    for key in ("content", "contents", "messages"):
        if isinstance(blocks := result.get(key), list):
            return (_plain(blocks[0]) if len(blocks) == 1 else [_plain(block) for block in blocks]), failed
    return result, failed


def _plain(block: Json) -> Json:
    """The text of a block; as a document when it is one. Pictures and sounds only by their kind."""
    if not isinstance(block, dict):
        return block
    inner = block.get("resource", block.get("content"))
    if isinstance(inner, dict):
        return _plain(inner)
    text = block.get("text")
    if not isinstance(text, str):
        return {key: value for key, value in block.items() if key not in ("data", "blob")}
    if text[:1] in "{[" and len(text) <= MAX_PARSED:
        try:
            document: Json = json.loads(text)
        except (ValueError, RecursionError):
            return text
        return document
    return text


def as_one(result: Json) -> tuple[str, ...]:
    """The text of a result's blocks put together, as a model reads them; nothing when there are fewer than two."""
    blocks = result.get("content") if isinstance(result, dict) else None
    if not isinstance(blocks, list) or len(blocks) < 2:
        return ()
    said = [_text_of(block) for block in blocks]
    return ("".join(said),) if sum(map(bool, said)) > 1 else ()


def _text_of(block: Json) -> str:
    text = block.get("text") if isinstance(block, dict) else None
    return text if isinstance(text, str) else ""


def said(findings: tuple[Finding, ...]) -> str:
    """The reason, as the Observer words that of its own detections."""
    return " ".join(f"{one.detection}: {one.kind} ({one.value})." for one in findings)
