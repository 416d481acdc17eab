"""Reading the fields of a JSON document: each is bounded and checked, and an error names the field, never its value.

Absent, ``null`` and ``""`` are the same everywhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NoReturn

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput, TooLarge

MAX_DOCUMENT = 1 << 20
"""Bytes of one document. A batch is bounded by its server."""
MAX_TEXT = 4096
"""Characters of a target, a reason, a finding's field."""
MAX_NAME = 256
"""Characters of an agent, a tool, a publisher, a hash, an id."""
MAX_DEPTH = 32
MAX_VALUES = 20_000
"""Values in one open document (metadata, a result's content): our client sends at most a quarter of it."""
MAX_LIST = 1000
_LAST_YEAR = 253_370_764_800
"""Unix seconds of the year 9999's beginning."""


def parse(data: bytes, *, limit: int = MAX_DOCUMENT) -> Json:
    """The JSON document in ``data``. Raises TooLarge over ``limit`` bytes, InvalidInput for what is not JSON (RFC 8259).

    NaN and Infinity, which Python's parser takes, are not JSON; nesting deeper than the parser's own bound is refused.
    """
    if len(data) > limit:
        raise TooLarge("", f"the document has {len(data)} bytes, at most {limit} are taken")
    try:
        # One decoder for all: ``json.loads`` makes one a call, and looks for UTF-16, which JSON on the wire is not (section 8.1).
        # A mark at the beginning says nothing; the codec that drops it takes longer than a short document does.
        document: Json = _DECODER.decode(data.decode().removeprefix("\ufeff"))
    except (ValueError, RecursionError) as err:
        raise InvalidInput("", "the document is not valid JSON") from err
    return document


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def obj(document: Json, field: str) -> dict[str, Json]:
    """``document`` as an object. Raises InvalidInput."""
    if not isinstance(document, dict):
        raise InvalidInput(field, "must be an object")
    return document


def array(document: Mapping[str, Json], key: str, path: str = "", *, limit: int = MAX_LIST) -> list[Json]:
    """The list under ``key``, empty when absent. Raises InvalidInput, TooLarge over ``limit`` entries."""
    value = document.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidInput(path + key, "must be a list")
    if len(value) > limit:
        raise TooLarge(path + key, f"has {len(value)} entries, at most {limit} are taken")
    return value


def text(document: Mapping[str, Json], key: str, path: str = "", *, limit: int = MAX_TEXT) -> str:
    """The text under ``key``; absent and null are ``""``. Raises InvalidInput, TooLarge over ``limit`` characters."""
    value = document.get(key)
    if value is None:
        return ""
    if type(value) is str and len(value) <= limit and value.isascii() and "\0" not in value:
        return value
    return plain(value, path + key, limit=limit)


def plain(value: Json, field: str, *, limit: int = MAX_TEXT) -> str:
    """``value`` as text that can be stored and shown anywhere. Raises InvalidInput, TooLarge."""
    if not isinstance(value, str):
        raise InvalidInput(field, "must be text")
    if len(value) > limit:
        raise TooLarge(field, f"has {len(value)} characters, at most {limit} are taken")
    if not _storable(value):
        raise InvalidInput(field, "holds a lone surrogate or a NUL, which is not text")
    return value


def texts(document: Mapping[str, Json], key: str, path: str = "", *, limit: int = MAX_TEXT) -> tuple[str, ...]:
    """The list of texts under ``key``, empty when absent. Raises InvalidInput, TooLarge."""
    if document.get(key) is None:
        return ()
    values = array(document, key, path)
    return tuple(plain(value, f"{path}{key}[{i}]", limit=limit) for i, value in enumerate(values))


def whole(value: Json, field: str) -> int:
    """A whole number from 0. Raises InvalidInput."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidInput(field, "must be a whole number from 0")
    return value


def boolean(document: Mapping[str, Json], key: str, path: str = "", *, default: bool = False) -> bool:
    """The boolean under ``key``. Raises InvalidInput."""
    value = document.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise InvalidInput(path + key, "must be true or false")
    return value


def instant(document: Mapping[str, Json], key: str, path: str = "") -> float:
    """The RFC 3339 instant under ``key`` as Unix seconds, 0.0 when absent. Raises InvalidInput."""
    said = text(document, key, path, limit=64)
    if not said:
        return 0.0
    try:
        when = datetime.fromisoformat(said)
        if when.tzinfo is None:
            raise ValueError("no offset")
        at = when.timestamp()
        if not 0 <= at < _LAST_YEAR:
            # With its offset, or once rounded, it may lie outside the years 1 to 9999: whoever wrote it out again would fail.
            datetime.fromtimestamp(at, UTC)
        return at
    except (ValueError, OverflowError, OSError) as err:
        raise InvalidInput(path + key, "must be an RFC 3339 instant with its offset") from err


def rfc3339(at: float) -> str:
    """Unix seconds as RFC 3339 in UTC with microseconds; ``""`` for 0.0."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z") if at else ""


def _storable(value: str) -> bool:
    if "\0" in value:
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_json(value: Json, field: str, *, most: int = MAX_VALUES) -> None:
    """Refuse what a store could not keep, at any depth of an open document, and more than ``most`` values. Raises InvalidInput."""
    if not _keepable(value, field, most):
        _name_unkeepable(value, field, 0)


def _keepable(value: Json, field: str, most: int) -> bool:
    # Level by level, so that a document that has too many is refused before anybody looks at them all.
    level: list[Json] = [value]
    count = depth = 0
    while level:
        below: list[Json] = []
        for one in level:
            if isinstance(one, str):
                if not _storable(one):
                    return False
            elif isinstance(one, dict):
                if not all(map(_storable, one)):
                    return False
                below += one.values()
            elif isinstance(one, list):
                below += one
        count += len(below)
        if count > most:
            raise InvalidInput(field, f"has more than {most} values")
        depth += 1
        if below and depth > MAX_DEPTH:
            return False
        level = below
    return True


def _name_unkeepable(value: Json, field: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise InvalidInput(field, f"is nested deeper than {MAX_DEPTH}")
    if isinstance(value, str):
        if not _storable(value):
            raise InvalidInput(field, "holds a lone surrogate or a NUL, which is not text")
    elif isinstance(value, dict):
        for key, below in value.items():
            if not _storable(key):
                raise InvalidInput(field, "has a key that is not text")
            _name_unkeepable(below, f"{field}.{key[:64]}", depth + 1)
    elif isinstance(value, list):
        for i, below in enumerate(value):
            _name_unkeepable(below, f"{field}[{i}]", depth + 1)
