"""Connections of the sidecar: who is at the other end, and loopback cannot take the socket's places.

Anybody on the machine may connect to the loopback port before saying who they are; the agent's way in is the Unix socket.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from kaizen_security.net import inbound

LOOPBACK_CONNECTIONS = 256
"""Connections at a time on the loopback port; the Unix socket is not counted."""

KEPT = 60
"""Seconds that a connection on the Unix socket is kept without a request: a model may think for longer than the five that are
usual, and the call that it then asks for would wait for another connection.
"""
_PLAIN = frozenset(
    {b"host", b"accept", b"authorization", b"connection", b"content-length", b"content-type", b"user-agent"}
)
"""Fields of a head that mean what they say, each once."""
_PRINTED = bytes(range(0x20, 0x7F))
"""What a line is made of: to one reader all else may end it, or a value in it, and to another not."""
PEER = "kaizen.peer"
"""In a request's scope: ``user_of`` its connection."""
_CREDENTIALS = struct.Struct("iII")
"""``struct ucred`` (unix(7)): process, user, group."""


def user_of(transport: asyncio.BaseTransport) -> int | None:
    """The user whose process has opened this Unix socket; None for TCP, and on systems that do not say it (not Linux)."""
    here = transport.get_extra_info("socket")
    if here is None or here.family != socket.AF_UNIX or not hasattr(socket, "SO_PEERCRED"):
        return None
    said = here.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(said)[1])


def is_another(user: int | None) -> bool:
    """Whether it is another user than ours; root is none."""
    return user not in (None, 0, os.geteuid())


class Answers:
    """What can be answered as soon as it is there."""

    def answer(self, path: bytes, body: bytes, authorization: str, *, stranger: bool) -> tuple[int, bytes] | None:
        """Status and JSON for a POST over the Unix socket, or None: nothing was done, and it goes the way of all others.

        Waits for nothing. ``stranger``: another user's process sends it (``is_another``).
        """
        raise NotImplementedError


class Protocol(inbound.Protocol):
    """One connection. ``loopback`` connections at a time on the loopback port; ``at_once`` is asked first about what comes whole,
    and plainly, over the Unix socket; ``answered`` is told of every answer.
    """

    loopback = LOOPBACK_CONNECTIONS
    at_once: ClassVar[Answers | None] = None
    answered: ClassVar[Callable[[], None]] = lambda: None
    _peer: int | None = None
    _in_message = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client."""
        self._peer = user_of(transport)
        super().connection_made(transport)
        if not _is_tcp(self):
            self.timeout_keep_alive = KEPT

    def is_one_too_many(self) -> bool:
        """Of those on loopback; the Unix socket is not counted."""
        return _is_tcp(self) and sum(map(_is_tcp, self.connections)) > self.loopback

    def data_received(self, data: bytes) -> None:
        """Bytes: mostly one request, which mostly can be answered at once."""
        if not self._is_answered(data):
            super().data_received(data)

    def on_message_begin(self) -> None:
        """A request: it carries who is at the other end, as the kernel says it."""
        self._in_message = True
        super().on_message_begin()
        self.scope[PEER] = self._peer  # type: ignore[literal-required]

    def on_message_complete(self) -> None:
        """The end of a request."""
        self._in_message = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """An answer was written."""
        super().on_response_complete()
        type(self).answered()

    def _is_idle(self) -> bool:
        last: RequestResponseCycle | None = self.cycle
        return last is None or last.response_complete

    def _is_answered(self, data: bytes) -> bool:
        """Whether this was one whole request that could be answered at once; it is not shown to the parser then."""
        if (
            self.at_once is None
            or self._in_message
            or not self._is_idle()
            or self.flow.write_paused
            or self.transport.is_closing()
            or _is_tcp(self)
        ):
            return False
        found = plain_post(data)
        answered = found and self.at_once.answer(*found, stranger=is_another(self._peer))
        if not answered:
            return False
        status, said = answered
        self.transport.write(
            b"%s%scontent-length: %d\r\ncontent-type: application/json\r\n\r\n%s"
            % (
                STATUS_LINE[status],
                b"".join([b"%s: %s\r\n" % header for header in self.server_state.default_headers]),
                len(said),
                said,
            )
        )
        self.stop_waiting()
        self.on_response_complete()
        return True


def plain_post(data: bytes) -> tuple[bytes, bytes, str] | None:
    """Path, body and Authorization of one whole POST with nothing unusual about it. None for all else, which a parser is for."""
    head, end, body = data.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    method, _, rest = first.partition(b" ")
    path, _, version = rest.partition(b" ")
    if not end or method != b"POST" or version != b"HTTP/1.1" or head.translate(None, _PRINTED) != b"\r\n" * len(lines):
        return None
    fields: dict[bytes, bytes] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        name = name.lower()
        if name not in _PLAIN or name in fields or not colon:
            return None
        fields[name] = value.strip(b" ")
    length = fields.get(b"content-length", b"")
    if not length.isdigit() or len(length) > 9 or int(length) != len(body):
        return None
    if fields.get(b"connection", b"keep-alive").lower() != b"keep-alive":
        return None
    return path, body, fields.get(b"authorization", b"").decode()


def _is_tcp(connection: object) -> bool:
    # uvicorn gives (path, None) for a Unix socket and (address, port) for TCP.
    server = getattr(connection, "server", None)
    return isinstance(server, tuple) and server[1] is not None
