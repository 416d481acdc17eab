"""Reading requests and writing answers of the sidecar: bounded bodies, JSON, one shape of error."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from kaizen_security.contract.action import Json
from kaizen_security.contract.bundle import Bundle, encode_bundle
from kaizen_security.contract.errors import InvalidInput, KaizenError, Misconfigured, Refused, TooLarge, Unreachable
from kaizen_security.contract.fields import obj, parse
from kaizen_security.runtime.arriving import collected
from kaizen_security.sidecar.connections import PEER, is_another
from kaizen_security.sidecar.identity import Unknown

MAX_BODY = 1 << 20
"""Bytes of one document."""
MAX_BATCH_BODY = 2 << 20
"""Bytes of a batch, of the steps of a run, and of what is asked about: the longest arguments of a client, in JSON."""
MAX_VALUES = 50_000
"""JSON values of one body: each costs the parser as much as a hundred bytes of text, and nobody else is served meanwhile."""
HEAVY = 32 << 10
"""Bytes of a body from which on it is decoded aside."""
PATIENCE = 15.0
"""Seconds in which a body must have arrived."""
_DISCARD = 32 << 20
_SEPARATORS = (b",", b"[", b"{")
T = TypeVar("T")
_ENCODER = msgspec.json.Encoder()


def tag_of(bundle: Bundle) -> str:
    """The ETag of a bundle: the same for the same content."""
    return '"' + hashlib.sha256(json.dumps(encode_bundle(bundle), sort_keys=True).encode()).hexdigest()[:32] + '"'


class Problem(KaizenError):
    """An answer that is an error of its own: status, code, message."""

    def __init__(self, status: int, code: str, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.field = field


def on_socket(request: Request) -> bool:
    """Whether it came over the Unix socket: uvicorn gives (path, None) for one and (address, port) for TCP."""
    server = request.scope.get("server")
    return isinstance(server, tuple) and server[1] is None


def is_stranger(request: Request) -> bool:
    """Whether another user's process speaks over the Unix socket, which then was opened to a group. Root is none."""
    return on_socket(request) and is_another(request.scope.get(PEER))


def answer(document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(_ENCODER.encode(document), status, headers=dict(headers or {}), media_type="application/json")


_HTTP_CODES = {404: "not_found", 405: "method_not_allowed"}
_ERRORS: tuple[tuple[type[Exception], int, str], ...] = (
    (Unknown, 401, "unauthorized"),
    (TooLarge, 413, "too_large"),
    (InvalidInput, 422, "invalid"),
    (Misconfigured, 422, "unusable"),
    (Unreachable, 503, "unavailable"),
)
_HEADERS = {401: {"WWW-Authenticate": 'Bearer realm="kaizen"'}, 503: {"Retry-After": "2"}}


def refusal(err: Exception) -> Response:
    """The error answer of the wire contract: ``{"error": {"code", "message", "field"?}}``."""
    status, code, message = _told(err)
    error = {"code": code, "message": message}
    field = getattr(err, "field", "")
    if field:
        error["field"] = field
    return answer({"error": error}, status, _HEADERS.get(status))


async def on_error(request: Request, err: Exception) -> Response:
    """``refusal`` as Starlette calls it."""
    return refusal(err)


def _told(err: Exception) -> tuple[int, str, str]:
    if isinstance(err, Problem):
        return err.status, err.code, str(err)
    if isinstance(err, HTTPException):
        return err.status_code, _HTTP_CODES.get(err.status_code, "http_error"), str(err.detail)
    if isinstance(err, Refused):
        return err.status, "refused_upstream", str(err)
    for kind, status, code in _ERRORS:
        if isinstance(err, kind):
            return status, code, str(err)
    return 500, "internal", "this request failed inside the sidecar; its output says more"


LONGEST_WAIT = 30.0
"""Seconds of a long poll."""


def bearer(request: Request) -> str:
    """The key that is presented, empty when none is."""
    return bearer_in(request.headers.get("authorization", ""))


def bearer_in(authorization: str) -> str:
    """The key in that field of a request's head, empty when there is none."""
    kind, _, key = authorization.partition(" ")
    return key.strip() if kind.lower() == "bearer" else ""


def seconds(request: Request) -> float:
    """How long a long poll wants to wait (``wait`` of its query), at most LONGEST_WAIT; nothing said is 0. Raises InvalidInput."""
    said = request.query_params.get("wait", "")
    if not said:
        return 0.0
    if not said.isascii() or not said.isdigit() or len(said) > 6:
        raise InvalidInput("wait", "must be a whole number of seconds")
    return min(float(said), LONGEST_WAIT)


async def read(request: Request, build: Callable[[dict[str, Json]], T], *, aside: Executor, limit: int = MAX_BODY) -> T:
    """What ``build`` makes of the body, a JSON object; a heavy one is decoded and built by ``aside``, a thread.

    Raises InvalidInput, TooLarge, Problem (408), and what ``build`` raises.
    """
    data = await read_body(request, limit)

    def work() -> T:
        check_values(data)
        return build(obj(parse(data, limit=limit), "body"))

    return work() if len(data) < HEAVY else await asyncio.get_running_loop().run_in_executor(aside, work)


async def changes(event: asyncio.Event, request: Request) -> bool:
    """A long poll: whether the event comes in time. Raises InvalidInput."""
    try:
        async with asyncio.timeout(seconds(request)):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def read_body(request: Request, limit: int) -> bytes:
    """The body, counted while it arrives. Raises TooLarge over ``limit`` bytes, Problem (408)."""
    try:
        return await collected(request.stream(), limit=limit, seconds=PATIENCE, read_away=_DISCARD)
    except TimeoutError as err:
        raise Problem(408, "timeout", f"the body did not arrive within {PATIENCE:g} seconds") from err
    except ClientDisconnect as err:
        raise Problem(400, "cut_off", "the connection ended before the body did") from err


def check_values(data: bytes) -> None:
    """Refuse a JSON text with more than MAX_VALUES values before it is parsed, in a few linear steps. Raises TooLarge.

    Of a text that is no JSON it says nothing; the parser does.
    """
    if sum(map(data.count, _SEPARATORS)) <= MAX_VALUES:
        return
    # Separators inside of strings are none. A quotation mark that is left begins or ends a string, each of them a value or a key.
    bare = data.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in data else data
    if bare.count(b'"') > 4 * MAX_VALUES:
        raise TooLarge("body", f"holds more than {MAX_VALUES} values")
    outside = b"".join(bare.split(b'"')[::2])
    if sum(map(outside.count, _SEPARATORS)) > MAX_VALUES:
        raise TooLarge("body", f"holds more than {MAX_VALUES} values")
