"""One message of a conversation with a model, in whatever shape a trace holds it: its words, its tool calls, its tool results.

Known are the parts of OpenTelemetry's ``gen_ai.input.messages``, the bodies of its older events, and the messages of the OpenAI and
Anthropic APIs. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import MAX_NAME, parse

MAX_MESSAGES = 10_000
"""Messages of one call of a model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """A tool call. ``id`` is ``""`` when there is none."""

    tool: str
    arguments: Json
    id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """The result of a tool call; ``tool`` and ``id`` are ``""`` where they are not told."""

    content: Json
    id: str = ""
    tool: str = ""
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A message. ``role`` is ``user``, ``assistant``, ``system`` or ``tool``; ``text`` its words."""

    role: str
    text: str = ""
    calls: tuple[Called, ...] = ()
    results: tuple[Brought, ...] = ()


_ROLES = {"human": "user", "ai": "assistant", "model": "assistant", "developer": "system", "function": "tool"}


def unwrapped(value: Json) -> Json:
    """``value``, or what its JSON text holds: exporters put documents into strings."""
    if isinstance(value, str) and value[:1] in ("{", "[", '"'):
        try:
            return parse(value.encode("utf-8", "surrogatepass"), limit=64 << 20)
        except InvalidInput:
            return value
    return value


def arguments(value: Json) -> dict[str, Json]:
    """What a tool was called with, as an object."""
    found = unwrapped(value)
    if isinstance(found, dict):
        return found
    return {} if found in (None, "", []) else {"input": found}


def messages(value: Json, role: str = "user") -> Iterator[Said]:
    """The messages in a list of them, in one of them, or in what has a list of them; words alone are of ``role``."""
    found = unwrapped(value)
    while isinstance(found, Mapping) and not _is_message(found):
        key = next((key for key in ("messages", "message", "choices", "output") if key in found), None)
        if key is None:
            break
        found = unwrapped(found[key])
    for one in (found if isinstance(found, list) else [found])[:MAX_MESSAGES]:
        said = message(one, role)
        if said is not None:
            yield said


def _is_message(value: Mapping[str, Json]) -> bool:
    return "role" in value or "parts" in value or "content" in value or "tool_calls" in value


def message(value: Json, role: str = "user") -> Said | None:
    """One message; None for what is none."""
    found = unwrapped(value)
    if isinstance(found, str):
        return Said(role=role, text=found) if found else None
    if not isinstance(found, dict):
        return None
    inner = found.get("message")
    if isinstance(inner, dict) and not _is_message(found):
        found = inner
    said = found.get("role") or found.get("type")
    who = said.lower() if isinstance(said, str) else role
    who = _ROLES.get(who, who if who in ("user", "assistant", "system", "tool") else role)
    texts, calls, results = _parts(found)
    if who == "tool" and not results:
        # An API's tool message is the result itself.
        results = [Brought(content=found.get("content"), id=_id(found), tool=_name(found.get("name")))]
        texts = []
    return Said(role=who, text="\n".join(texts), calls=tuple(calls), results=tuple(results))


def _parts(found: Mapping[str, Json]) -> tuple[list[str], list[Called], list[Brought]]:
    texts: list[str] = []
    calls = [call for one in _list(found.get("tool_calls")) if (call := _call(one)) is not None]
    results: list[Brought] = []
    content = found.get("parts") if "parts" in found else found.get("content")
    for part in content if isinstance(content, list) else [content]:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict):
            _part(part, texts, calls, results)
    return texts, calls, results


def _part(part: dict[str, Json], texts: list[str], calls: list[Called], results: list[Brought]) -> None:
    match part.get("type"):
        case "tool_call" | "tool_use" | "function_call":
            call = _call(part)
            if call is not None:
                calls.append(call)
        case "tool_call_response" | "tool_result":
            content = next((part[key] for key in ("response", "result", "content") if key in part), None)
            failed = part.get("is_error") is True
            results.append(Brought(content=_plain(content), id=_id(part), tool=_name(part.get("name")), failed=failed))
        case _:
            text = part.get("content", part.get("text"))
            if isinstance(text, str) and part.get("type") not in ("reasoning", "thinking"):
                texts.append(text)


def _plain(content: Json) -> Json:
    """Text parts as text: that a result comes in parts says nothing."""
    if isinstance(content, list) and content and all(isinstance(one, dict) and "text" in one for one in content):
        return "\n".join(str(one["text"]) for one in content if isinstance(one, dict))
    return content


def _call(value: Json) -> Called | None:
    if not isinstance(value, dict):
        return None
    function = value.get("function")
    inner = function if isinstance(function, dict) else value
    name = _name(inner.get("name"))
    if not name:
        return None
    given = next((inner[key] for key in ("arguments", "input", "args") if key in inner), None)
    return Called(tool=name, arguments=arguments(given), id=_id(value))


def _id(value: Mapping[str, Json]) -> str:
    for key in ("tool_call_id", "tool_use_id", "call_id", "id"):
        said = value.get(key)
        if isinstance(said, str) and said:
            return said[:MAX_NAME]
    return ""


def _name(value: Json) -> str:
    return value[:MAX_NAME] if isinstance(value, str) else ""


def _list(value: Json) -> list[Json]:
    found = unwrapped(value)
    return found if isinstance(found, list) else []


def key_of(value: Json) -> str:
    """What tells two documents apart."""
    return json.dumps(value, sort_keys=True, default=str)
