"""Frames: JSON-RPC 2.0 messages as bytes, read so strictly that no two readers can understand one differently.

What a lenient peer might read as another message is refused here: keys that are there twice or differ only in case (Go's decoder
folds them), a carriage return inside a frame (a reader with universal newlines would see two frames), text that is not UTF-8,
NaN and Infinity. Source: JSON-RPC 2.0, RFC 8259, and MCP's transports, revisions 2024-11-05 to 2026-07-28.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import NoReturn, TypeAlias

from kaizen_security.contract.action import Json
from kaizen_security.contract.canonical_values import builder

PARSE_ERROR, INVALID_REQUEST, INVALID_PARAMS, METHOD_NOT_FOUND = -32700, -32600, -32602, -32601

Id: TypeAlias = "str | int | float"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one connection.

    ``request``   bytes of one message of a client; a larger one is refused
    ``frame``     bytes of one message of a server that is read whole
    ``large``     bytes of one reply of a server; between ``frame`` and this it is looked through piece by piece
    ``depth``     levels of lists and objects
    ``batch``     messages in one batch
    ``id``        characters of a request's id
    ``pending``   requests that wait for their reply at once, each direction
    ``rate``      requests a second from one side, ``burst`` of them at once
    """

    request: int = 16 << 20
    frame: int = 1 << 20
    large: int = 256 << 20
    depth: int = 64
    batch: int = 100
    id: int = 256
    pending: int = 1024
    rate: float = 5000.0
    burst: float = 20_000.0


LIMITS = Limits()


class Shape(Enum):
    """What a message is, by its keys (JSON-RPC 2.0, sections 4 and 5)."""

    REQUEST = "request"
    NOTIFICATION = "notification"
    REPLY = "reply"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message. ``raw``: its own bytes, without the line's end. ``body``: the whole object as read.

    ``id`` is None for a notification, and for the reply to a message whose id nobody could read. ``cut``: what is nested in it was
    left out, because it is too large to be read whole (``large``); ``words``: of such a one, the text of its beginning and its end.
    """

    shape: Shape
    raw: bytes
    body: dict[str, Json]
    method: str = ""
    id: Id | None = None
    cut: bool = False
    words: str = ""

    @property
    def params(self) -> Json:
        """``params`` as it came; None when absent."""
        return self.body.get("params")


@dataclass(frozen=True, slots=True)
class Frame:
    """One line: a message, or a batch of them (``batch`` true, also with a single one)."""

    messages: tuple[Message, ...]
    raw: bytes
    batch: bool = False


_made, _frame = builder(Message), builder(Frame)
"""In the order of their fields: one of each is made for each line."""


class Unreadable(ValueError):
    """A frame that is not understood. ``code`` is the JSON-RPC error, ``id`` the request's if it could be read."""

    def __init__(self, code: int, why: str, id_: Id | None = None) -> None:
        super().__init__(why)
        self.code = code
        self.id = id_


_ENVELOPE = frozenset({"jsonrpc", "id", "method", "params", "result", "error"})
_SPACE = re.compile(r"[ \t\n\r]*")


class _Twice(ValueError):
    """A key is there twice."""


def _pairs(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Twice("an object has the same key twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_pairs, parse_constant=_no_constant)


def read(line: bytes, limits: Limits = LIMITS, *, lined: bool = True) -> Frame:
    """The frame in ``line``, which may end in a line end. Its size is for the caller to bound. Raises Unreadable.

    ``lined``: messages are told apart by their line ends, so none may stand inside one; over HTTP they are not.
    """
    raw = line.rstrip(b"\r\n")
    if lined and (b"\r" in raw or b"\n" in raw):
        raise Unreadable(PARSE_ERROR, "a line end stands inside the message")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as err:
        raise Unreadable(PARSE_ERROR, "the message is not UTF-8") from err
    start = 0 if text.startswith("{") else _skip(text, 0)
    if text.startswith("[", start):
        parts = _parts(text, start, limits)
        return Frame(tuple(_message(body, part.encode(), limits) for body, part in parts), raw, batch=True)
    body, end = _value(text, start)
    if end != len(text) and _skip(text, end) != len(text):
        raise Unreadable(PARSE_ERROR, "something follows the message")
    return _frame((_message(body, raw, limits),), raw, False)


def read_cut(skeleton: bytes, *, lined: bool = True, words: str = "") -> Frame:
    """The frame of a large message of which only the skeleton and some words are there.

    Raises Unreadable; also for anything but a reply.
    """
    frame = read(skeleton, lined=lined)
    [message] = frame.messages
    if message.shape is not Shape.REPLY:
        raise Unreadable(INVALID_REQUEST, "only a reply may be of this size", message.id)
    return Frame((replace(message, cut=True, words=words),), frame.raw)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _value(text: str, at: int) -> tuple[Json, int]:
    try:
        value, end = _DECODER.raw_decode(text, at)
    except _Twice as err:
        raise Unreadable(INVALID_REQUEST, str(err)) from err
    except (ValueError, RecursionError) as err:
        raise Unreadable(PARSE_ERROR, "the message is not valid JSON") from err
    return value, end


def _parts(text: str, start: int, limits: Limits) -> list[tuple[Json, str]]:
    """The messages of a batch, each with its own text."""
    parts: list[tuple[Json, str]] = []
    at = _skip(text, start + 1)
    if text[at : at + 1] == "]":
        raise Unreadable(INVALID_REQUEST, "the batch is empty")
    while True:
        value, end = _value(text, at)
        parts.append((value, text[at:end]))
        if len(parts) > limits.batch:
            raise Unreadable(INVALID_REQUEST, f"the batch has more than {limits.batch} messages")
        at = _skip(text, end)
        sign = text[at : at + 1]
        at = _skip(text, at + 1)
        if sign == "]" and at == len(text):
            return parts
        if sign != ",":
            raise Unreadable(PARSE_ERROR, "the message is not valid JSON")


def _message(body: Json, raw: bytes, limits: Limits) -> Message:
    if not isinstance(body, dict):
        raise Unreadable(INVALID_REQUEST, "a message must be an object")
    id_ = _id(body, limits)
    if not body.keys() <= _ENVELOPE:
        _check_names(body, "the message", id_)
    if body.get("jsonrpc") != "2.0":
        raise Unreadable(INVALID_REQUEST, 'jsonrpc must be "2.0"', id_)
    # Each level needs a bracket of its own, so a message with few of them is not looked through.
    if raw.count(b"{") + raw.count(b"[") > limits.depth and too_deep(body, limits.depth):
        raise Unreadable(INVALID_REQUEST, f"the message is nested deeper than {limits.depth}", id_)
    method = body.get("method")
    if "method" in body:
        if not isinstance(method, str) or "result" in body or "error" in body:
            raise Unreadable(INVALID_REQUEST, "a message is either a request or a reply", id_)
        params = body.get("params")
        if isinstance(params, dict) and not params.keys() <= _PARAMS:
            _check_names(params, "params", id_, known=_PARAMS)
        shape = Shape.REQUEST if id_ is not None else Shape.NOTIFICATION
        return _made(shape, raw, body, method, id_, False, "")
    if ("result" in body) == ("error" in body) or "id" not in body:
        raise Unreadable(INVALID_REQUEST, "a reply has an id and either a result or an error", id_)
    return _made(Shape.REPLY, raw, body, "", id_, False, "")


_PARAMS = frozenset("name arguments uri ref argument task requestState inputResponses cursor _meta".split())
"""Keys of ``params`` that decide what a request does."""


_FOLDED = {known: frozenset(name.casefold() for name in known) for known in (_ENVELOPE, _PARAMS)}


def _check_names(names: Iterable[str], where: str, id_: Id | None, known: frozenset[str] = _ENVELOPE) -> None:
    """No key that a decoder which folds case would take for another one."""
    for name in names:
        if name not in known and name.casefold() in _FOLDED[known]:
            raise Unreadable(INVALID_REQUEST, f"{where} has a key that differs from another only in case", id_)


def _id(body: dict[str, Json], limits: Limits) -> Id | None:
    """The id, 1.0 as 1 (JSON has one kind of number). An explicit null counts as none, except that it makes no notification."""
    value = body.get("id")
    if value is None:
        if "id" in body and "method" in body:
            raise Unreadable(INVALID_REQUEST, "a request's id must not be null")
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Unreadable(INVALID_REQUEST, "an id must be text or a number")
    if isinstance(value, str):
        if len(value) > limits.id:
            raise Unreadable(INVALID_REQUEST, f"the id has more than {limits.id} characters")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Unreadable(INVALID_REQUEST, "the id is a number that is too large")
        value = int(value) if value.is_integer() else value
    if isinstance(value, int) and value.bit_length() > 64:
        raise Unreadable(INVALID_REQUEST, "the id is a number of more than 64 bits")
    return value


def too_deep(value: Json, limit: int) -> bool:
    """Whether lists and objects are nested deeper than ``limit``. Without recursion, so depth costs memory only."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(limit):
        level = [
            below
            for one in level
            for below in (one.values() if isinstance(one, dict) else one)
            if isinstance(below, dict | list)
        ]
        if not level:
            return False
    return bool(level)
