"""Connections of the sidecar: who is at the other end, and loopback cannot take the socket's places.

Anybody on the machine may connect to the loopback port before saying who they are; the agent's way in is the Unix socket.
"""

from __future__ import annotations

import asyncio
import socket
import struct

from kaizen_security.net import inbound

LOOPBACK_CONNECTIONS = 256
"""Connections at a time on the loopback port; the Unix socket is not counted."""

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


class Protocol(inbound.Protocol):
    """One connection. ``loopback`` connections at a time on the loopback port."""

    loopback = LOOPBACK_CONNECTIONS
    _peer: int | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client."""
        self._peer = user_of(transport)
        super().connection_made(transport)

    def is_one_too_many(self) -> bool:
        """Of those on loopback; the Unix socket is not counted."""
        return _is_tcp(self) and sum(map(_is_tcp, self.connections)) > self.loopback

    def on_message_begin(self) -> None:
        """A request: it carries who is at the other end, as the kernel says it."""
        super().on_message_begin()
        self.scope[PEER] = self._peer  # type: ignore[literal-required]


def _is_tcp(connection: object) -> bool:
    # uvicorn gives (path, None) for a Unix socket and (address, port) for TCP.
    server = getattr(connection, "server", None)
    return isinstance(server, tuple) and server[1] is not None
