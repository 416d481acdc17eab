"""Connections until their TLS handshake is over, which have the time and the places of any other that says nothing yet.

The loop's own servers show a connection only after its handshake, and wait a minute for that: whoever begins a thousand and goes no
further would keep everybody else out.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import uvicorn
from uvloop.loop import SSLProtocol  # type: ignore[attr-defined]  # what ``create_server(ssl=...)`` of that loop uses

from kaizen_security.net import inbound


class Doorstep(inbound.Arrival, asyncio.Protocol):
    """One connection that has not shaken hands. Made in the place of ``config``'s own protocol, which it is followed by."""

    def __init__(
        self,
        context: ssl.SSLContext,
        config: uvicorn.Config,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self.loop = _loop or asyncio.get_running_loop()
        self._context = context
        kind: Any = config.http
        self._inner = kind(config=config, server_state=server_state, app_state=app_state)
        self._inner.doorstep = self
        self.most, self.head_deadline = self._inner.most, self._inner.head_deadline
        self.connections = server_state.connections
        self.client = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client: from here on it speaks to TLS, before a byte of it was read."""
        self.transport = transport
        said = transport.get_extra_info("peername")
        self.client = (str(said[0]), int(said[1])) if said else None
        self.connections.add(self)
        if not self.finds_room():
            self.put_out()
            return
        shaken = self.loop.create_future()
        shaken.add_done_callback(self._shaken)
        secured = SSLProtocol(self.loop, self._inner, self._context, shaken, server_side=True)
        self.transport.set_protocol(secured)
        secured.connection_made(transport)

    def _shaken(self, hands: asyncio.Future[None]) -> None:
        """The handshake is over, or the client gone."""
        hands.exception()  # that somebody spoke no TLS or went away is no error of ours
        self.leave()

    def leave(self) -> None:
        """It is one no longer."""
        self._inner.doorstep = None
        self.stop_waiting()
        self.connections.discard(self)

    def put_out(self) -> None:
        """It is one no longer, and ends."""
        self.leave()
        super().put_out()

    shutdown = put_out
    """The server ends."""
