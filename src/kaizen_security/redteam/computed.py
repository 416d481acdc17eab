"""Values that a scenario file computes instead of writing out: encodings, joined pieces, and templates.

``{ encoded = "base64", of = "…" }`` stands for that text encoded; ``{ join = ["…", {…}] }`` for pieces put together. They are
computed after names have been randomised, so that an encoded payload carries the randomised names too.
"""

from __future__ import annotations

import base64
import gzip
import re
from collections.abc import Callable, Mapping
from urllib.parse import quote

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput

ENCODINGS: dict[str, Callable[[bytes], str]] = {
    "base64": lambda data: base64.b64encode(data).decode(),
    "base64url": lambda data: base64.urlsafe_b64encode(data).decode().rstrip("="),
    "base32": lambda data: base64.b32encode(data).decode().rstrip("=").lower(),
    "hex": lambda data: data.hex(),
    "gzip+base64": lambda data: base64.b64encode(gzip.compress(data, mtime=0)).decode(),
    "percent": lambda data: quote(data, safe=""),
    "reversed": lambda data: data.decode()[::-1],
    "plain": lambda data: data.decode(),
}
"""By name. ``plain`` is for taking a part of a text without encoding it."""

_HOLE = re.compile(r"\{([a-z_]+)\}")


def compute(value: Json, field: str) -> Json:
    """``value`` with everything computed that is written as ``encoded`` or ``join``. Raises InvalidInput naming the field."""
    if isinstance(value, list):
        return [compute(item, f"{field}[{i}]") for i, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if "encoded" in value:
        return _encoded(value, field)
    if "join" in value:
        return _joined(value, field)
    return {key: compute(item, f"{field}.{key}") for key, item in value.items()}


def _encoded(value: dict[str, Json], field: str) -> str:
    unknown = set(value) - {"encoded", "of", "start", "end"}
    if unknown:
        raise InvalidInput(f"{field}.{min(unknown)}", "is not known; an encoded value has encoded, of, start, end")
    encode = ENCODINGS.get(str(value["encoded"]))
    if encode is None:
        raise InvalidInput(field + ".encoded", f"must be one of {', '.join(ENCODINGS)}")
    text = compute(value.get("of"), field + ".of")
    if not isinstance(text, str):
        raise InvalidInput(field + ".of", "must be text")
    bounds = [value.get(key) for key in ("start", "end")]
    if not all(bound is None or (isinstance(bound, int) and not isinstance(bound, bool)) for bound in bounds):
        raise InvalidInput(field, "start and end must be whole numbers")
    start, end = (bound if isinstance(bound, int) else None for bound in bounds)
    return encode(text.encode())[start:end]


def _joined(value: dict[str, Json], field: str) -> str:
    pieces = compute(value["join"], field + ".join")
    if set(value) != {"join"} or not isinstance(pieces, list):
        raise InvalidInput(field + ".join", "must be a list, and alone in its table")
    if not all(isinstance(piece, str) for piece in pieces):
        raise InvalidInput(field + ".join", "every piece must be text")
    return "".join(map(str, pieces))


def fill(value: Json, holes: Mapping[str, Json], field: str) -> Json:
    """``value`` with ``{name}`` replaced in every text; a text that is nothing but ``{name}`` becomes the value itself.

    Raises InvalidInput when a hole has no value.
    """
    if isinstance(value, dict):
        return {key: fill(item, holes, f"{field}.{key}") for key, item in value.items()}
    if isinstance(value, list):
        return [fill(item, holes, f"{field}[{i}]") for i, item in enumerate(value)]
    if not isinstance(value, str):
        return value
    whole = _HOLE.fullmatch(value)
    if whole:
        return _held(whole, holes, field)
    return _HOLE.sub(lambda hole: str(_held(hole, holes, field)), value)


def _held(hole: re.Match[str], holes: Mapping[str, Json], field: str) -> Json:
    if hole[1] not in holes:
        raise InvalidInput(field, f"has the hole {{{hole[1]}}}, which no entry of for fills")
    return holes[hole[1]]
