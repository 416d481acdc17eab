"""Messages of LangChain: the user's words in the input of a run, and an agent's last words in its output. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kaizen_security.contract.errors import HookUnavailable

try:
    from langchain_core.messages import BaseMessage
except ImportError as err:
    raise HookUnavailable("LangChain is not installed, or too old: pip install 'langchain-core>=1'") from err

MAX_MESSAGES = 200
"""Messages of a conversation that are looked at when a run begins."""


def request(inputs: Any) -> str:
    """The user's words in the input of a run."""
    if isinstance(inputs, str):
        return inputs
    if isinstance(inputs, dict) and isinstance(inputs.get("input"), str):
        return str(inputs["input"])
    said = []
    for message in messages(inputs.get("messages") if isinstance(inputs, dict) else inputs):
        kind = getattr(message, "type", None)
        if kind is None and isinstance(message, dict):
            kind = message.get("role") or message.get("type")
        elif kind is None and isinstance(message, tuple) and len(message) == 2:
            kind = message[0]
        if kind in ("human", "user"):
            said.append(_text(message))
        elif isinstance(message, str):
            said.append(message)
    return "\n".join(filter(None, said))


def messages(given: Any) -> Iterator[Any]:
    """The messages in what a run or a model is given: one, a list, or a list for each of several prompts; the latest ones."""
    if isinstance(given, BaseMessage | str | dict):
        yield given
    for item in given[-MAX_MESSAGES:] if isinstance(given, list) else ():
        if isinstance(item, list):
            yield from item[-MAX_MESSAGES:]
        else:
            yield item


def _text(message: Any) -> str:
    content = (
        message.get("content") if isinstance(message, dict) else message[1] if isinstance(message, tuple) else None
    )
    content = content if content is not None else getattr(message, "content", "")
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(part if isinstance(part, str) else str(part.get("text", "")) for part in parts)


def last_words(outputs: Any) -> str:
    """What an agent says at the end of its run; empty where that is no text."""
    if isinstance(outputs, dict) and isinstance(outputs.get("output"), str):
        return str(outputs["output"])
    found = list(messages(outputs.get("messages"))) if isinstance(outputs, dict) else []
    return _text(found[-1]) if found and isinstance(found[-1], BaseMessage) else ""
