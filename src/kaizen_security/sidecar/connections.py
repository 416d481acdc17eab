"""Connections of the sidecar: a head that does not come ends its connection, and loopback cannot take the socket's places.

Anybody on the machine may connect to the loopback port before saying who they are; the agent's way in is the Unix socket.
"""

from __future__ import annotations

import asyncio
import socket
import struct

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

HEAD_DEADLINE = 10.0
"""Seconds in which the head of a request must have come, from the connection or from its first byte on."""
LOOPBACK_CONNECTIONS = 256
"""Connections at a time on the loopback port. More are closed at once; the Unix socket is not counted."""

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


class Protocol(HttpToolsProtocol):
    """One connection. ``head_deadline`` in seconds."""

    head_deadline = HEAD_DEADLINE
    _peer: int | None = None
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client."""
        super().connection_made(transport)
        self._peer = user_of(transport)
        if _is_tcp(self) and sum(map(_is_tcp, self.connections)) > LOOPBACK_CONNECTIONS:
            transport.close()
            return
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes; the first of a further request on the same connection start its deadline."""
        before: RequestResponseCycle | None = self.cycle
        if self._timer is None and before is not None and before.response_complete:
            self._wait_for_head()
        super().data_received(data)

    def on_message_begin(self) -> None:
        """A request: it carries who is at the other end, as the kernel says it."""
        super().on_message_begin()
        self.scope[PEER] = self._peer  # type: ignore[literal-required]

    def on_headers_complete(self) -> None:
        """The head is here."""
        self._stop_waiting()
        super().on_headers_complete()

    def _wait_for_head(self) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(self.head_deadline, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _is_tcp(connection: object) -> bool:
    # uvicorn gives (path, None) for a Unix socket and (address, port) for TCP.
    server = getattr(connection, "server", None)
    return isinstance(server, tuple) and server[1] is not None
