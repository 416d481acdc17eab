"""What LangChain gives and gets, in our words: the user's in the input of a run, an agent's last ones, arguments of a call."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

from kaizen_security.contract.errors import HookUnavailable

try:
    from langchain_core.messages import BaseMessage, ToolMessage
except ImportError as err:
    raise HookUnavailable("LangChain is not installed, or too old: pip install 'langchain-core>=1'") from err

MOST_TOOLS = 10_000
"""Tools whose injected arguments are remembered."""
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


def conversation(inputs: Any) -> list[Any]:
    """The messages in what a part of a run is given: a state, or one beside a call that a node is to make."""
    for state in (inputs, inputs.get("state") if isinstance(inputs, dict) else None):
        found = state.get("messages") if isinstance(state, dict) else getattr(state, "messages", None)
        if isinstance(found, list) and found:
            return found
    return []


def state(config: Any) -> dict[str, Any]:
    """What a graph keeps of its conversation, where it calls a tool with nothing but the call: read as its own nodes read it."""
    configurable = config.get("configurable") if isinstance(config, dict) else None
    read = (configurable or {}).get("__pregel_read")
    try:
        return {"messages": read("messages", False)} if callable(read) else {}
    except (KeyError, TypeError):
        return {}  # a graph that calls it something else


def own_words(given: list[Any]) -> str:
    """The user's words in the state of a graph. What agents write to each other there may look the same, but has a name."""
    return request([one for one in given if isinstance(one, BaseMessage) and not one.name])


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


_INJECTED: dict[tuple[int, frozenset[str]], tuple[Any, frozenset[str]]] = {}


def without_injected(tool: Any, given: dict[str, Any]) -> dict[str, Any]:
    """The arguments that the model made. LangChain finds out which the others are by the function's types, each time anew."""
    names = frozenset(given)
    known = _INJECTED.get((id(tool), names))
    if known is None or known[0]() is not tool:
        left = tool._filter_injected_args(given) if hasattr(tool, "_filter_injected_args") else given
        if len(_INJECTED) > MOST_TOOLS:
            _INJECTED.clear()
        known = _INJECTED[id(tool), names] = (weakref.ref(tool), names - frozenset(left))
    return {name: value for name, value in given.items() if name not in known[1]} if known[1] else given


def brought(found: Any) -> object:
    """What a tool brought back, without the message around it."""
    if isinstance(found, ToolMessage):
        return found.content if found.artifact is None else {"content": found.content, "artifact": found.artifact}
    return found


def handlers(callbacks: Any) -> Iterator[Any]:
    """Those among the callbacks of a call, however they are given."""
    if isinstance(callbacks, list | tuple):
        yield from callbacks
    elif callbacks is not None:
        yield from getattr(callbacks, "handlers", ())
        yield from getattr(callbacks, "inheritable_handlers", ())
