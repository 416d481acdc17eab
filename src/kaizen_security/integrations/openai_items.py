"""Items of a conversation as the OpenAI Agents SDK gives them to a run: the user's words, and what tools brought back. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kaizen_security.integrations.elsewhere_openai import ran_at_openai

MAX_ITEMS = 200
"""Items of a conversation that are looked at when a run begins."""


def request(given: Any) -> str:
    """The user's words of a run's input: all of them, since earlier ones were the user's as well."""
    if isinstance(given, str):
        return given
    said = [_text(item.get("content")) for item in _items(given) if item.get("role") == "user"]
    return "\n".join(filter(None, said))


def taken_up(given: Any) -> tuple[list[Any] | None, Any]:
    """Of a run that waited for a person (``RunState``): what it has been through so far, as items, and what it was asked. Of any
    other: None, and what it is given.
    """
    if not hasattr(given, "_original_input"):
        return None, given
    items = []
    for one in getattr(given, "_generated_items", None) or ():
        raw = getattr(one, "raw_item", None)
        items.append(raw if isinstance(raw, Mapping) else {})
    return items, given._original_input


def results(given: Any) -> Iterator[tuple[str, object]]:
    """What tools of earlier runs of the conversation brought back, here or at the provider."""
    for item in _items(given):
        if str(item.get("type", "")).endswith("_call_output"):
            yield str(item.get("call_id", "")), item.get("output")
            continue
        for ran in ran_at_openai([item]):
            if ran.content is not None:
                yield ran.id, ran.content


def _items(given: Any) -> Iterator[Mapping[str, Any]]:
    for item in given[-MAX_ITEMS:] if isinstance(given, list) else ():
        if isinstance(item, Mapping):
            yield item


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(str(part["text"]) for part in parts if isinstance(part, Mapping) and "text" in part)
