"""What a tool was called with, and what it returned, as JSON: bounded, and without running the agent's own code."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum

from kaizen_security.contract.action import Json

MAX_TEXT = 256 << 10
"""Characters of one text: as many as of all. Who writes the arguments would else choose what is not looked at."""
MAX_NODES = 5000
"""Values in one document."""
MAX_TOTAL = 256 << 10
"""Characters in one document."""
MAX_DEPTH = 16
FEW = 32
"""Entries of a mapping up to which it is looked at as a flat one first."""
MOST_NAMES = 4096
"""Names of arguments that are known to be short and plain."""
_NAMES: set[str] = set()
_LARGE = 1 << 64


class Plain(dict[str, Json]):
    """A document that ``plain`` made already, and gives back as it is."""


class _Budget:
    __slots__ = ("nodes", "text")

    def __init__(self) -> None:
        self.nodes = MAX_NODES
        self.text = MAX_TOTAL


def plain(value: object) -> Json:
    """``value`` as a JSON document that the codec takes: tuples and sets become lists, bytes text, dataclasses and
    pydantic's models their fields as they are stored, other objects their class.

    No ``repr``, ``str`` or property of a foreign object is called: they may be slow, have effects, or raise. What is over a bound
    is cut, and says so with ``…``.
    """
    kind = type(value)
    if kind is Plain:
        return value  # type: ignore[return-value]  # it is a document
    if kind is str and len(value) <= MAX_TEXT and value.isascii() and "\0" not in value:  # type: ignore[arg-type,attr-defined,operator]
        return value  # type: ignore[return-value]
    if kind is dict and len(value) <= FEW:  # type: ignore[arg-type]
        found = _flat(value)  # type: ignore[arg-type]
        if found is not None:
            return found
    return _plain(value, 0, _Budget())


def _flat(value: dict[object, object]) -> dict[str, Json] | None:
    """A copy of what most tools are called with: a few texts and numbers, by short names; None when there is more to it."""
    found: dict[str, Json] = {}
    left = MAX_TEXT
    for name, one in list(value.items()):
        if type(name) is not str or (name not in _NAMES and not _is_short(name)):
            return None
        kind = type(one)
        if kind is str:
            left -= len(one)  # type: ignore[arg-type]  # it is text
            if left < 0 or not one.isascii() or "\0" in one:  # type: ignore[attr-defined,operator]
                return None
        elif kind is int:
            if not -_LARGE < one < _LARGE:  # type: ignore[operator]  # it is a number
                return None
        elif one is not None and kind is not bool:
            return None
        found[name] = one  # type: ignore[assignment]  # it is one of these
    return found


def _is_short(name: str) -> bool:
    if len(name) > 64 or not name.isascii() or "\0" in name:
        return False
    if len(_NAMES) < MOST_NAMES:
        _NAMES.add(name)
    return True


def _plain(value: object, depth: int, budget: _Budget) -> Json:
    budget.nodes -= 1
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, bool | int | float | str | bytes | bytearray):
        return _scalar(value, budget)
    if depth >= MAX_DEPTH or budget.nodes <= 0:
        return "…"
    if isinstance(value, dict):
        return _mapping(value, depth, budget)
    if isinstance(value, list | tuple | set | frozenset):
        return _several(value, depth, budget)
    kind = type(value)
    if isinstance(value, Mapping) and kind.__module__ in ("builtins", "collections"):
        return _mapping(dict(value), depth, budget)
    fields = getattr(kind, "__dataclass_fields__", None) or getattr(kind, "__pydantic_fields__", None)
    if isinstance(fields, dict):
        return _mapping({name: _stored(value, name) for name in fields}, depth, budget)
    return f"<{kind.__module__}.{kind.__qualname__}>"[:256]


def _scalar(value: None | bool | int | float | str | bytes | bytearray, budget: _Budget) -> Json:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(str.__str__(value), budget)
    if isinstance(value, int):
        return int.__int__(value) if value.bit_length() < 1024 else "…"
    if isinstance(value, float):
        return float.__float__(value) if math.isfinite(value) else float.__repr__(value)
    return _text(bytes(value[:MAX_TEXT]).decode("utf-8", "backslashreplace"), budget)


def _stored(value: object, name: str) -> object:
    try:
        return object.__getattribute__(value, name)
    except AttributeError:
        return None


def _mapping(value: dict[object, object], depth: int, budget: _Budget) -> Json:
    found: dict[str, Json] = {}
    for key, below in list(dict.items(value)):
        if budget.nodes <= 0:
            found["…"] = "…"
            break
        name = _text(key if type(key) is str else str(_plain(key, MAX_DEPTH, budget)), budget)
        found[name[:256]] = _plain(below, depth + 1, budget)
    return found


def _several(
    value: list[object] | tuple[object, ...] | set[object] | frozenset[object], depth: int, budget: _Budget
) -> Json:
    found: list[Json] = []
    for below in _items(value):
        if budget.nodes <= 0:
            found.append("…")
            break
        found.append(_plain(below, depth + 1, budget))
    return found


def _items(value: list[object] | tuple[object, ...] | set[object] | frozenset[object]) -> list[object]:
    """By the type's own iteration, not the one that a subclass may have put in its place."""
    if isinstance(value, list):
        return [*list.__iter__(value)]
    if isinstance(value, tuple):
        return [*tuple.__iter__(value)]
    return [*(set.__iter__(value) if isinstance(value, set) else frozenset.__iter__(value))]


def _text(text: str, budget: _Budget) -> str:
    limit = min(MAX_TEXT, max(budget.text, 0))
    if len(text) > limit:
        text = text[:limit] + "…"
    budget.text -= len(text)
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    return text
