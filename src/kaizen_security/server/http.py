"""Reading requests and writing answers: bounded bodies, JSON, and the one shape that every error has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TypeVar

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput, KaizenError, Misconfigured, TooLarge
from kaizen_security.runtime.arriving import collected, too_long
from kaizen_security.store.base import LastAdministrator, LimitReached, StoreFull, StoreUnavailable

MAX_BODY = 1 << 20
"""Bytes of a single document."""
MAX_BATCH = 16 << 20
"""Bytes of a batch."""
BODY_DEADLINE = 20.0
"""Seconds in which a whole body must have arrived."""
_DISCARD = 64 << 20
"""Bytes of a body that is too long which we read away, so that the sender gets to see our answer."""

_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder()


class ApiError(KaizenError):
    """An answer that is an error: HTTP ``status``, a ``code`` for machines, a message for people, the offending field."""

    def __init__(
        self, status: int, code: str, message: str, *, field: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.field = field
        self.headers = dict(headers or {})


def unauthorized(message: str) -> ApiError:
    """401: who are you?"""
    return ApiError(401, "unauthorized", message, headers={"WWW-Authenticate": 'Bearer realm="kaizen"'})


def forbidden(message: str, *, field: str = "") -> ApiError:
    """403: we know you, and you may not."""
    return ApiError(403, "forbidden", message, field=field)


def not_found(message: str) -> ApiError:
    """404: there is no such thing, or it is not yours to know of."""
    return ApiError(404, "not_found", message)


def too_many(message: str, retry_after: float) -> ApiError:
    """429: come back in ``retry_after`` seconds."""
    return ApiError(429, "rate_limited", message, headers={"Retry-After": str(max(1, math.ceil(retry_after)))})


def answer(document: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response."""
    return Response(
        _ENCODER.encode(document), status, headers=dict(headers or {}), media_type="application/json; charset=utf-8"
    )


def error_answer(error: ApiError) -> Response:
    """The one shape of every error: ``{"error": {"code", "message", "field"?}}``."""
    document = {"code": error.code, "message": error.message}
    if error.field:
        document["field"] = error.field
    return answer({"error": document}, error.status, error.headers)


_HTTP_CODES = {400: "bad_request", 404: "not_found", 405: "method_not_allowed"}


def as_api_error(error: Exception) -> ApiError:
    """What went wrong, as the answer that says so; anything unknown is a 500 that tells nothing of its inside."""
    match error:
        case ApiError():
            return error
        case TooLarge():
            return ApiError(413, "too_large", str(error), field=error.field, headers={"Connection": "close"})
        case InvalidInput():
            return ApiError(422, "invalid", str(error), field=error.field)
        case Misconfigured():
            return ApiError(422, "unusable", str(error))
        case LimitReached():
            return ApiError(409, "limit_reached", str(error))
        case LastAdministrator():
            return ApiError(409, "last_administrator", str(error))
        case StoreFull():
            return ApiError(507, "disk_full", str(error))
        case StoreUnavailable():
            return ApiError(503, "store_unavailable", str(error), headers={"Retry-After": "1"})
        case HTTPException():
            code = _HTTP_CODES.get(error.status_code, "http_error")
            return ApiError(error.status_code, code, str(error.detail), headers=error.headers)
    return ApiError(500, "internal", "this request failed inside the server; its log says more")


async def read_body(request: Request, *, limit: int = MAX_BODY, deadline: float = BODY_DEADLINE) -> bytes:
    """The whole body, counted while it arrives, whether or not its length was stated.

    Raises TooLarge (413) over ``limit`` bytes, ApiError (408) when it has not arrived within ``deadline`` seconds.
    """
    stated = request.headers.get("content-length", "")
    if stated.isdigit() and int(stated) > limit and "100-continue" in request.headers.get("expect", "").lower():
        raise too_long(limit)
    try:
        return await collected(request.stream(), limit=limit, seconds=deadline, read_away=_DISCARD)
    except TimeoutError as err:
        raise ApiError(
            408, "timeout", f"the body did not arrive within {deadline:g} seconds", headers={"Connection": "close"}
        ) from err
    except ClientDisconnect as err:
        raise ApiError(400, "cut_off", "the connection ended before the body did") from err


def parse_json(data: bytes) -> Json:
    """The JSON document in ``data`` (RFC 8259). Raises InvalidInput."""
    try:
        document: Json = _DECODER.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as err:
        raise InvalidInput("body", "is not valid JSON") from err
    return document


Number = TypeVar("Number", int, float)


def number(request: Request, name: str, *, default: Number, low: Number, high: Number) -> Number:
    """A number of the query string. Raises InvalidInput when it is none, or out of range."""
    said = request.query_params.get(name, "")
    if not said:
        return default
    try:
        value = type(default)(said)
    except ValueError as err:
        raise InvalidInput(name, "must be a number") from err
    if not low <= value <= high:
        raise InvalidInput(name, f"must be from {low} to {high}")
    return value
