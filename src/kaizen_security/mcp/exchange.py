"""Exchange: one HTTP request to the gateway and its answer: what of it passes, and what stands in the place of what does not."""

from __future__ import annotations

import asyncio
import ipaddress
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import lru_cache
from typing import TypeVar
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from kaizen_security.contract.errors import Unreachable
from kaizen_security.mcp import answers
from kaizen_security.mcp.crossing import Moves
from kaizen_security.mcp.desk import Desk
from kaizen_security.mcp.events import LargeEvent
from kaizen_security.mcp.frames import LIMITS, Shape, Unreadable, read
from kaizen_security.mcp.large import Large
from kaizen_security.mcp.reach import Returned

HEADER_MISMATCH = -32020
PATIENCE = 60.0
"""Seconds in which a client's message must have come."""
T = TypeVar("T")
PASSED_ON = frozenset(
    "accept content-type mcp-protocol-version mcp-session-id last-event-id traceparent tracestate".split()
)
"""Headers of a client that reach the server, besides those that begin with ``mcp-``."""
PASSED_BACK = frozenset("content-type mcp-session-id www-authenticate retry-after allow".split())


class Incoming(Request):
    """A request to ``server``, as its path calls it.

    ``fields``: its headers, each name once and with its first value, for what we decide as for what the server gets. Else a client
    could name one session to us and another to the server.
    """

    def __init__(self, scope: Scope, receive: Receive, server: str) -> None:
        super().__init__(scope, receive)
        self.server = server
        self.fields: dict[str, str] = {}
        for name, value in scope["headers"]:
            self.fields.setdefault(name.decode("latin-1"), value.decode("latin-1"))


class Door:
    """ASGI: ``/NAME/mcp`` goes to ``endpoint``, all else to ``others``; through a web framework's layers a call takes longer."""

    def __init__(self, endpoint: Callable[[Incoming], Awaitable[Response]], others: ASGIApp) -> None:
        self._endpoint = endpoint
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection of ASGI."""
        server, _, rest = scope["path"][1:].partition("/") if scope["type"] == "http" else ("", "", "")
        if not server or rest != "mcp":
            await self._others(scope, receive, send)
            return
        response = await self._endpoint(Incoming(scope, receive, server))
        await response(scope, receive, send)


def loopback(host: str) -> bool:
    """Whether a name or address is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@lru_cache(maxsize=64)
def is_here(host: str) -> bool:
    """Whether a ``Host`` field names this machine: kept, since it is the same for each request of a client. Raises ValueError."""
    return loopback(urlsplit(f"//{host}").hostname or "")


def onward(request: Incoming) -> dict[str, str]:
    """The headers of a request that reach the server."""
    return {name: value for name, value in request.fields.items() if name in PASSED_ON or name.startswith("mcp-")}


async def body_of(request: Request) -> bytes | None:
    """The request's body; None when it is over the bound.

    Raises TimeoutError when it has not all come within ``PATIENCE``, ClientDisconnect.
    """
    found = bytearray()
    async with asyncio.timeout(PATIENCE):
        while True:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            piece: bytes = message.get("body", b"")
            if len(found) + len(piece) > LIMITS.request:
                return None
            if not found and not message.get("more_body", False):
                return piece  # all of it at once, as mostly
            found += piece
            if not message.get("more_body", False):
                return bytes(found)


async def read_all(reply: Returned) -> bytes | Large:
    """The reply's body; one with more than ``LIMITS.frame`` bytes is on disk, and is the caller's to close."""
    found = bytearray()
    large: Large | None = None
    whole = False
    try:
        async for chunk in reply.pieces():
            if large is None and len(found) + len(chunk) > LIMITS.frame:
                large = Large(LIMITS)
                large.feed(bytes(found))
            if large is None:
                found += chunk
                continue
            large.feed(chunk)
            if large.problem:
                break
        whole = True
    finally:
        reply.close()
        if large is not None and not whole:
            large.close()
    return bytes(found) if large is None else large


def mismatch(request: Incoming, body: bytes) -> str:
    """What the headers say of the message must be what it is (2026-07-28): who looks at them only must not be told otherwise."""
    method, name = request.fields.get("mcp-method"), request.fields.get("mcp-name")
    if method is None and name is None:
        return ""
    try:
        frame = read(body, lined=False)
    except Unreadable:
        return ""
    [message] = frame.messages if len(frame.messages) == 1 else [None]
    params = message.params if message is not None else None
    stated = params.get("name", params.get("uri")) if isinstance(params, dict) else None
    if message is None or (method is not None and method != message.method):
        return "Mcp-Method is not the method of the message"
    return (
        "Mcp-Name is not what the message names" if name is not None and stated is not None and name != stated else ""
    )


def joined(lines: list[bytes]) -> bytes:
    """Several messages as one body."""
    return (
        lines[0]
        if len(lines) == 1
        else b"[" + b",".join(line.strip().removeprefix(b"[").removesuffix(b"]") for line in lines) + b"]"
    )


def refused(moves: Moves) -> Response:
    """Nothing went to the server: what was refused is answered here; a notification is taken, and that is all."""
    if not moves.to_client:
        return Response(b"", 202)
    answer = joined(moves.to_client)
    document = json.loads(answer)
    unread = isinstance(document, dict) and document.get("id") is None
    return Response(answer, 400 if unread else 200, media_type="application/json")


def unreachable(desk: Desk, sent: bytes, err: Unreachable) -> Response:
    """The server cannot be reached; ``sent`` is what it should have got."""
    return Response(lost(desk, sent, f"the server cannot be reached ({err})"), 502, media_type="application/json")


def foreign(reply: Returned, desk: Desk, sent: bytes, *, too_large: bool) -> Response:
    """An answer that is no message: its status passes, its words do not, since nobody looked at them."""
    why = (
        "the server's answer is too large"
        if too_large
        else f"the server answered with status {reply.status} and no message"
    )
    status = reply.status if reply.status >= 400 else 502
    headers = {name: value for name, value in back(reply).items() if name != "content-type"}
    return Response(lost(desk, sent, why), status, headers, media_type="application/json")


def lost(desk: Desk, sent: bytes, why: str) -> bytes:
    """The requests in ``sent`` get no reply any more: an error for each."""
    lines = []
    messages = read(sent, lined=False).messages if sent else ()
    for message in messages:
        if message.shape is Shape.REQUEST:
            desk.forget(message)
            lines.append(answers.error(message.id, answers.REFUSED, f"Kaizen: {why}"))
    return joined(lines) if lines else json.dumps({"error": {"code": "bad_gateway", "message": why}}).encode()


def back(reply: Returned) -> dict[str, str]:
    """The headers of an answer that reach the client."""
    kept = {name: value for name, value in reply.headers.items() if name in PASSED_BACK or name.startswith("mcp-")}
    if kept.get("content-type", "").startswith("text/event-stream"):
        kept |= {"cache-control": "no-cache, no-transform", "x-accel-buffering": "no"}
    return kept


def problem(status: int, message: str) -> Response:
    """An answer of the gateway's own."""
    return JSONResponse({"error": {"code": str(status), "message": message}}, status)


async def settled(desk: Desk, way: Callable[[bytes], Moves], data: bytes) -> Moves:
    """What goes where."""
    return await aside(desk, lambda: way(data))


async def aside(desk: Desk, settles: Callable[[], T]) -> T:
    """Aside only where a verdict may have to be waited for: changing threads twice costs more than judging."""
    return await asyncio.to_thread(settles) if desk.waits else settles()


async def passed(desk: Desk, event: LargeEvent) -> AsyncIterator[bytes]:
    """A large event, as it came or with what stands in its place."""
    try:
        whole, instead = await aside(desk, lambda: desk.large(event.large))
        if not whole:
            yield event.carrying(instead)
            return
        yield event.head
        for piece in event.large.chunks():
            yield piece
        yield event.tail
    finally:
        event.large.close()


async def chunks(body: Large) -> AsyncIterator[bytes]:
    """A large body in pieces; then it is forgotten."""
    try:
        for piece in body.chunks():
            yield piece
    finally:
        body.close()
