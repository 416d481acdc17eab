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


_SCALARS = (type(None), bool, int, float, str, bytes, bytearray)
_SEVERAL = (list, tuple, set, frozenset)


def _plain(value: object, depth: int, budget: _Budget) -> Json:
    # By its type: ``isinstance`` asks a proxy what it stands for, which is the host's own code, and may raise.
    kind = type(value)
    budget.nodes -= 1
    if issubclass(kind, Enum):
        value = object.__getattribute__(value, "_value_")
        kind = type(value)
    if issubclass(kind, _SCALARS):
        return _scalar(value, kind, budget)
    if depth >= MAX_DEPTH or budget.nodes <= 0:
        return "…"
    if issubclass(kind, dict):
        return _mapping(value, depth, budget)  # type: ignore[arg-type]  # it is one
    if issubclass(kind, _SEVERAL):
        return _several(_items(value, kind), depth, budget)
    if kind.__module__ in ("builtins", "collections") and issubclass(kind, Mapping):
        return _mapping(dict(value), depth, budget)  # type: ignore[call-overload]  # it is one
    fields = _fields_of(kind)
    if fields is not None:
        return _mapping({name: _stored(value, name) for name in fields}, depth, budget)
    return f"<{kind.__module__}.{kind.__qualname__}>"[:256]


def _scalar(value: object, kind: type, budget: _Budget) -> Json:
    if value is None or kind is bool:
        return value  # type: ignore[return-value]  # it is one of these
    if issubclass(kind, str):
        return _text(str.__str__(value), budget)
    if issubclass(kind, int):
        number = int.__int__(value)  # type: ignore[arg-type]
        return number if number.bit_length() < 1024 else "…"
    if issubclass(kind, float):
        number_ = float.__float__(value)  # type: ignore[arg-type]
        return number_ if math.isfinite(number_) else float.__repr__(number_)
    return _text(bytes(memoryview(value)[:MAX_TEXT]).decode("utf-8", "backslashreplace"), budget)  # type: ignore[arg-type]


def _fields_of(kind: type) -> dict[str, object] | None:
    """The fields of a dataclass, or of a model of pydantic's."""
    for name in ("__dataclass_fields__", "__pydantic_fields__"):
        try:
            found = type.__getattribute__(kind, name)
        except AttributeError:
            continue
        if type(found) is dict and found:
            return found
    return None


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


def _several(items: list[object], depth: int, budget: _Budget) -> Json:
    found: list[Json] = []
    for below in items:
        if budget.nodes <= 0:
            found.append("…")
            break
        found.append(_plain(below, depth + 1, budget))
    return found


def _items(value: object, kind: type) -> list[object]:
    """By the type's own iteration, not the one that a subclass may have put in its place."""
    for own in _SEVERAL:
        if issubclass(kind, own):
            return [*own.__iter__(value)]  # type: ignore[arg-type]  # it is one
    return []


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
