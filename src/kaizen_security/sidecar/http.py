"""Reading requests and writing answers of the sidecar: bounded bodies, JSON, one shape of error."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput, KaizenError, Misconfigured, Refused, TooLarge, Unreachable
from kaizen_security.contract.fields import obj, parse
from kaizen_security.sidecar.identity import Unknown

MAX_BODY = 2 << 20
"""Bytes of one request. A batch has to fit too."""
PATIENCE = 15.0
"""Seconds in which a body must have arrived."""
_DISCARD = 32 << 20
_ENCODER = msgspec.json.Encoder()


class Problem(KaizenError):
    """An answer that is an error of its own: status, code, message."""

    def __init__(self, status: int, code: str, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.field = field


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


async def read_object(request: Request) -> dict[str, Json]:
    """The body as a JSON object. Raises InvalidInput, TooLarge, Problem (408)."""
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(PATIENCE):
            async for chunk in request.stream():
                size += len(chunk)
                if size <= MAX_BODY:
                    chunks.append(chunk)
                elif size > _DISCARD:
                    break
    except TimeoutError as err:
        raise Problem(408, "timeout", f"the body did not arrive within {PATIENCE:g} seconds") from err
    except ClientDisconnect as err:
        raise Problem(400, "cut_off", "the connection ended before the body did") from err
    if size > MAX_BODY:
        raise TooLarge("body", f"is longer than the {MAX_BODY} bytes that are taken")
    return obj(parse(b"".join(chunks), limit=MAX_BODY), "body")
