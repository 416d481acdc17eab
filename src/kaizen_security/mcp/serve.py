"""The gateway as a process: one port, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import socket
from typing import cast

import uvicorn

from kaizen_security.client.client import Kaizen
from kaizen_security.client.descriptors import make_room
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.mcp.book import Book
from kaizen_security.mcp.exchange import loopback
from kaizen_security.mcp.http import Gateway
from kaizen_security.mcp.reach import Pool
from kaizen_security.mcp.shelf import Shelf
from kaizen_security.mcp.upstreams import Setup
from kaizen_security.net.inbound import CONNECTIONS, Protocol
from kaizen_security.net.joined import Joined
from kaizen_security.net.loops import runner


def serve(setup: Setup, *, host: str, port: int, pins: str, sessions: str, locked: bool) -> int:
    """Serve; 0. Says where it listens once it does. Raises Misconfigured for a port that cannot be had, or that would be open."""
    if not setup.agents and not loopback(host):
        raise Misconfigured(
            f"--host {host}: whoever reaches this port would be believed; give the agents keys ([agents]) first"
        )
    with _bound(host, port) as bound, runner() as loops:
        loops.run(_serve(setup, bound, pins, sessions, locked))
    return 0


def _bound(host: str, port: int) -> socket.socket:
    """A listening socket that says that it is of TCP: asyncio sets TCP_NODELAY only on those, and without it answers that are
    written in two parts wait 40 ms for an acknowledgement. Raises Misconfigured.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
            0
        ]
        bound = socket.socket(family, kind, socket.IPPROTO_TCP)
    except OSError as err:
        raise Misconfigured(f"cannot listen on {host}: {err.strerror}") from err
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(512)
    except OSError as err:
        bound.close()
        raise Misconfigured(f"cannot listen on {host}:{port}: {err.strerror}") from err
    return bound


async def _serve(setup: Setup, bound: socket.socket, pins: str, sessions: str, locked: bool) -> None:
    Protocol.most = max(1, make_room(2 * CONNECTIONS) // 2)  # one to a client, one to its server
    pool = Pool()
    gateway = Gateway(setup, attach=_attached, shelf=Shelf(pins), pool=pool, locked=locked, book=Book(sessions))
    server = _Server(
        uvicorn.Config(
            gateway.app(), http=_Protocol, log_level="warning", access_log=False, lifespan="off", proxy_headers=False
        )
    )
    try:
        await server.serve([bound])
    finally:
        pool.close()
        await gateway.stop()
        await asyncio.to_thread(gateway.close)


def _attached(agent: str) -> Kaizen:
    kaizen = Kaizen(agent=agent)
    # What people decide has to be heard also while nothing is called.
    kaizen.wake()
    return kaizen


class _Protocol(Protocol):
    """A connection that writes an answer once."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(cast("asyncio.Transport", Joined(transport, self.loop)))


class _Server(uvicorn.Server):
    """Says where it listens, and waits for no stream that a client keeps open."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.config.timeout_graceful_shutdown = 2
        for bound in sockets or ():
            host, port = bound.getsockname()[:2]
            print(f"listening on http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)
