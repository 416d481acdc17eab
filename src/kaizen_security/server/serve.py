"""Running the application: uvicorn on uvloop and httptools, with what they leave open closed."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import signal
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from kaizen_security.client.descriptors import make_room
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.net import inbound
from kaizen_security.server.app import create_app
from kaizen_security.server.context import Context
from kaizen_security.server.doorstep import Doorstep
from kaizen_security.server.http import ApiError, error_answer
from kaizen_security.server.settings import Settings
from kaizen_security.store.base import Store

log = logging.getLogger(__name__)

MAX_HEAD = 64 << 10
"""Bytes of a request's head."""
CONNECTIONS = 2000
"""Connections at a time."""
BACKLOG = 1024
"""Connections that wait to be accepted."""
_LINE = re.compile(rb"([A-Z]{3,10}) ([^\r\n]+) (HTTP/1\.[01])\r?\n")
_UNSAFE = re.compile(rb"[^!-~]")


class Protocol(inbound.Protocol):
    """One connection. Deployed clients write an agent's name into the request line as it is: spaces and UTF-8 are encoded here.

    A head that does not end in time closes the connection; what is no HTTP is answered in JSON, as everything is.
    """

    most = CONNECTIONS
    doorstep: Doorstep | None = None
    """Where it was until its TLS handshake was over."""
    _head = b""
    _in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client."""
        if self.doorstep is not None:
            self.doorstep.leave()
        super().connection_made(transport)

    def turn_away(self) -> None:
        """There is no room for it, and it hears so."""
        self._refuse(503, "Service Unavailable", "overloaded", "too many connections; try again")

    def data_received(self, data: bytes) -> None:
        """Gather a head whole, mend its first line, and hand it on; bodies pass as they come."""
        if not self._in_head:
            # Where it was answered already (a key that is none), the rest has its deadline too: nobody reads it.
            super().data_received(data)
            return
        self._head += data
        if b"\r\n\r\n" not in self._head:
            if len(self._head) > MAX_HEAD:
                self.send_400_response("the head of the request is too long")
            elif self._timer is None:
                self.wait_for_head()
            return
        head, self._head = self._head, b""
        self._in_head = False
        self.stop_waiting()
        HttpToolsProtocol.data_received(self, _mended(head))  # the head is here: it has no deadline to start

    def on_message_begin(self) -> None:
        """A request that came in one piece with the one before it: its head is already with the parser."""
        self._in_head = False
        super().on_message_begin()

    def on_message_complete(self) -> None:
        """The request has been read: what follows is the next one's head."""
        self._in_head = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What came is no HTTP."""
        self._refuse(400, "Bad Request", "bad_request", msg)

    def _refuse(self, status: int, phrase: str, code: str, message: str) -> None:
        self.stop_waiting()
        body = error_answer(ApiError(status, code, message)).body
        head = (
            f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/json; charset=utf-8\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + bytes(body))
        self.transport.close()


def _mended(head: bytes) -> bytes:
    line = _LINE.match(head)
    if line is None or not _UNSAFE.search(line[2]):
        return head
    target = _UNSAFE.sub(lambda byte: b"%%%02X" % byte[0][0], line[2])
    return b" ".join((line[1], target, line[3])) + b"\r\n" + head[line.end() :]


class Server(uvicorn.Server):
    """Says where it listens, in one line, when it is ready; lets go of who waits when it stops."""

    def __init__(self, config: uvicorn.Config, context: Context) -> None:
        super().__init__(config)
        self._context = context

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT. uvicorn would raise them again at the end, before the store is closed."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        if self.config.ssl is not None:
            self.config.http_protocol_class = partial(Doorstep, self.config.ssl)  # type: ignore[assignment]
            self.config.ssl = None
        await super().startup(sockets=sockets)
        if self.started and sockets:
            host, port = sockets[0].getsockname()[:2]
            scheme = "https" if self.config.is_ssl else "http"
            shown = f"[{host}]" if ":" in host else host
            print(f"listening on {scheme}://{shown}:{port}", flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End long polls and live pages first: the server waits for its connections."""
        self._context.live.close()
        self._context.changes.close()
        self._context.holds.close()
        await super().shutdown(sockets=sockets)


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that listens: from then on nobody else has the port. Raises Misconfigured, naming the address that cannot be had."""
    if not 0 <= port <= 65535:
        # The resolver would take it modulo 65536.
        raise Misconfigured(f"cannot listen on port {port}: --port must be from 0 to 65535")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, kind, protocol)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        # Bound alone is not enough: with SO_REUSEADDR two may be bound, and the second finds out only when it listens.
        sock.listen(BACKLOG)
    except OSError as err:
        raise Misconfigured(f"cannot listen on {host}:{port}: {err.strerror}; choose another --port or --host") from err
    sock.set_inheritable(True)
    return sock


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """A certificate chain and its private key, both PEM files."""

    cert: Path
    key: Path

    def check(self) -> None:
        """Raises Misconfigured when the two do not belong together or cannot be read."""
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.cert, self.key, lambda: b"")
        except OSError as err:  # SSLError is one
            why = "not PEM, or not each other's" if isinstance(err, ssl.SSLError) else err.strerror
            raise Misconfigured(f"--tls-cert {self.cert} with --tls-key {self.key} cannot be used: {why}") from err


def run(
    store: Store,
    sock: socket.socket,
    *,
    tls: Tls | None = None,
    log_level: str = "warning",
    settings: Settings | None = None,
) -> None:
    """Serve on ``sock`` (``listening_socket``; the caller's to close) until SIGTERM or SIGINT."""
    options: dict[str, Any] = {}
    if tls is not None:
        options |= {"ssl_certfile": str(tls.cert), "ssl_keyfile": str(tls.key)}
    chosen = settings or Settings()
    app = create_app(store, secure=tls is not None or chosen.behind_proxy, settings=chosen)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=Protocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        log_level=log_level,
        server_header=False,
        # uvicorn's own reading of these headers knows no bounds; ``server.forwarded`` reads them.
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
        backlog=BACKLOG,
        **options,
    )
    _collect_less()
    Protocol.most = make_room(CONNECTIONS)
    Server(config, app.state.context).run(sockets=[sock])


def _collect_less() -> None:
    """Reports come as many small objects that hold no cycles: looking for cycles after every 700 of them is a tenth of the work."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
