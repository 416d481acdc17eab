"""Session: one client's connection, from its first byte until it is closed or becomes a tunnel.

``_read`` waits for a head; a CONNECT dials and becomes a Tunnel; a plain request becomes an Exchange, after which the next head is
read. Requests that a client sends ahead are answered one after the other, in order.
"""

from __future__ import annotations

import re
import socket
from functools import partial
from typing import TYPE_CHECKING

from kaizen_security.egress import answer, http1, usual
from kaizen_security.egress.accounts import NeedsCredentials
from kaizen_security.egress.budgets import Meters
from kaizen_security.egress.dial import Dial, Failed, Origin, Reached
from kaizen_security.egress.firstbytes import first_bytes
from kaizen_security.egress.forward import Exchange
from kaizen_security.egress.linger import LINGER, Linger
from kaizen_security.egress.loop import READ, WRITE
from kaizen_security.egress.peek import Peek
from kaizen_security.egress.report import Record
from kaizen_security.egress.rules import Refusal
from kaizen_security.egress.tunnel import Tunnel
from kaizen_security.egress.wire import Wire

if TYPE_CHECKING:
    from kaizen_security.egress.proxy import Proxy

_BARE_LF = re.compile(rb"(?<!\r)\n")
FIRST_RULES = 3.0
"""Seconds that the first requests of an agent nobody has asked for before wait for its rules."""


class Session:
    """Owned by the loop's thread. ``exchange`` is the plain request under way, ``dial`` the CONNECT."""

    __slots__ = (
        "buffer",
        "dial",
        "due",
        "ended",
        "exchange",
        "loop",
        "meters",
        "origin",
        "parked",
        "peek",
        "peer",
        "proxy",
        "record",
        "tunnel",
        "wire",
    )

    def __init__(self, proxy: Proxy, sock: socket.SocketType, peer: str, wire: Wire | None = None) -> None:
        self.proxy = proxy
        self.loop = proxy.loop
        self.wire = wire or Wire(proxy.loop, sock)
        self.peer = peer
        self.buffer = b""
        self.due = proxy.loop.now + proxy.config.header_timeout
        self.origin: Origin | None = None
        self.exchange: Exchange | None = None
        self.dial: Dial | None = None
        self.record: Record | None = None
        self.tunnel: Tunnel | None = None
        self.meters: Meters = ()
        self.peek: Peek | None = None
        self.ended = False
        """The client has said FIN."""
        self.parked: tuple[http1.Request, http1.Destination, str] | None = None
        """A request that waits for the first rules of its agent."""

    def start(self) -> None:
        """Read the first head: mostly it is there already."""
        self.loop.watch(self)
        self._read(READ)

    # --- heads --------------------------------------------------------------------------------------------------------------

    def _read(self, events: int) -> None:
        try:
            data = self.wire.recv()
        except OSError:
            self.close()
            return
        if data is None:
            self.wire.wait(READ, self._read)
            return
        if not data:
            self.close()
            return
        if not self.buffer:
            self.due = self.loop.now + self.proxy.config.header_timeout
        self.buffer += data
        self.next()

    def next(self) -> None:
        """Take the next request out of what was read, if it is all there."""
        buffer = self.buffer
        if not buffer and not self.ended:
            self.wire.wait(READ, self._read)
            return
        while buffer.startswith(b"\r\n"):
            buffer = buffer[2:]  # RFC 9112 section 2.2
        end = buffer.find(b"\r\n\r\n")
        if end < 0 or end > http1.MAX_HEAD:
            self._incomplete(buffer, end)
            return
        self.buffer = buffer[end + 4 :]
        try:
            understood = self._understood(buffer[:end])
            if understood is not None:
                self._proceed(*understood, self._who(understood[0]))
        except http1.Bad as bad:
            self.proxy.counts["bad requests"] += 1
            self.finish(answer.failed(bad.status, str(bad)))
        except NeedsCredentials as err:
            self.proxy.counts["credentials refused"] += 1
            self.finish(answer.credentials_needed(str(err), possible=err.possible))

    def _understood(self, data: bytes) -> tuple[http1.Request, http1.Destination] | None:
        """A head and where it is to go; None when it was for the proxy itself, and has been answered. Raises Bad."""
        if data.startswith(b"CONNECT ") and len(data) <= http1.MAX_REMEMBERED:
            return http1.connect(data)
        known = usual.request(data)
        if known is not None:
            return known
        head = http1.request(data)
        if head.target.startswith(b"/") and head.method == b"GET":
            self._own_page(head)
            return None
        return head, http1.destination(head)

    def _who(self, head: http1.Request) -> str:
        """The agent. Raises NeedsCredentials."""
        return self.proxy.accounts.agent(self.peer, head.values(b"proxy-authorization"))

    def _proceed(self, head: http1.Request, destination: http1.Destination, agent: str) -> None:
        if self.proxy.knows(agent, self):
            self._begin(head, destination, agent)
        else:
            self._park(head, destination, agent)

    def _incomplete(self, buffer: bytes, end: int) -> None:
        self.buffer = buffer
        if end >= 0 or len(buffer) > http1.MAX_HEAD:
            self.proxy.counts["bad requests"] += 1
            self.finish(answer.failed(431, f"the head of the request is longer than {http1.MAX_HEAD} bytes"))
        elif _BARE_LF.search(buffer):
            self.proxy.counts["bad requests"] += 1
            self.finish(answer.failed(400, "a header line ends in a bare LF"))
        elif self.ended:
            self.close()
        else:
            self.wire.wait(READ, self._read)

    def _park(self, head: http1.Request, destination: http1.Destination, agent: str) -> None:
        self.parked = (head, destination, agent)
        self.due = self.loop.now + FIRST_RULES
        self.wire.wait(self.wire.mask, self._early)

    def resume(self) -> None:
        """The agent's rules have come, or have been waited for long enough."""
        parked, self.parked = self.parked, None
        if parked is None:
            return
        try:
            self._begin(*parked)
        except http1.Bad as bad:
            self.proxy.counts["bad requests"] += 1
            self.finish(answer.failed(bad.status, str(bad)))

    def _own_page(self, head: http1.Request) -> None:
        if head.target.partition(b"?")[0] != b"/healthz":
            raise http1.Bad("this is a proxy: it takes CONNECT host:port and absolute http:// targets")
        self.finish(answer.health(self.proxy.health()))

    def _begin(self, head: http1.Request, destination: http1.Destination, agent: str) -> None:
        if head.method != b"CONNECT":
            self.exchange = Exchange(self, head, destination, agent)
            self.exchange.start()
            return
        if http1.request_body(head):
            raise http1.Bad("a CONNECT request with a body")
        self.record = self.proxy.seen.record(agent, destination.name, "connect")
        permitted = self.proxy.permit(agent, destination)
        if isinstance(permitted, Refusal):
            self._refused(permitted)
            return
        self.meters = permitted
        self.leave_origin()
        self.wire.wait(self.wire.mask, self._early)
        self.due = float("inf")
        self.dial = Dial(self.proxy.means, agent, self._dialled, self._begun)
        self.dial.start(*self._place(destination))

    def _place(self, destination: http1.Destination) -> tuple[str, int]:
        """What to dial for it."""
        return destination.host, destination.port

    # --- CONNECT ------------------------------------------------------------------------------------------------------------

    def _early(self, events: int) -> None:
        """The client speaks (or leaves) before it has been answered: look again when it has been."""
        self.wire.wait(0, self._early)

    def _begun(self, address: str) -> None:
        assert self.record is not None
        self.proxy.seen.began(self.record, address)

    def _dialled(self, result: Reached | Failed | Refusal) -> None:
        self.dial = None
        assert self.record is not None
        if isinstance(result, Refusal):
            self._refused(result)
            return
        if isinstance(result, Failed):
            self.proxy.seen.ended(self.record, result.ended)
            self._not_reached(answer.failed(result.status, result.problem))
            return
        self._tunnel(result)

    def _not_reached(self, data: bytes) -> None:
        self.finish(data)

    def _refused(self, refusal: Refusal) -> None:
        record = self.record
        assert record is not None
        self.proxy.seen.refused(record, refusal)
        self.finish(answer.refused(refusal, record.target))

    def _tunnel(self, reached: Reached) -> None:
        early, self.buffer = self.buffer, b""
        try:
            self.wire.send(answer.ESTABLISHED)
        except OSError:
            # The tunnel meets the same error at once and ends as it should.
            early = b""
        self._become_tunnel(reached.wire, up=early, down=b"", peek=True)

    def switch(self, record: Record, origin: Wire, *, up: bytes, down: bytes) -> None:
        """An exchange has switched protocols: pass bytes on from here. ``down`` goes to the client first."""
        self.record = record
        self._become_tunnel(origin, up=up, down=down, peek=False)

    def _become_tunnel(self, origin: Wire, *, up: bytes, down: bytes, peek: bool) -> None:
        self.peek = Peek() if peek else None
        self.tunnel = Tunnel(
            self.loop,
            self.wire,
            origin,
            # What TLS encrypts has to pass through this process.
            pipe=self.proxy.pipe if type(self.wire) is Wire else None,
            idle=self.proxy.config.idle_timeout,
            done=self._tunnel_done,
            peek=partial(first_bytes, self) if peek else None,
            metered=self.proxy.metered(self.meters),
        )
        self.loop.forget(self)
        self.tunnel.start(up=up, down=down)

    def _tunnel_done(self, how: str) -> None:
        record, tunnel = self.record, self.tunnel
        assert record is not None
        assert tunnel is not None
        record.up += tunnel.up.bytes
        record.down += tunnel.down.bytes
        self.proxy.seen.ended(record, how)
        if tunnel.over is not None:
            self.proxy.seen.went_over(record, tunnel.over)
        self.tunnel = None
        self.proxy.gone(self)

    # --- the end ------------------------------------------------------------------------------------------------------------

    def next_when_sent(self) -> None:
        """An exchange is over and the connection stays open."""
        self.exchange = None
        if self.wire.out:
            self.due = self.loop.now + self.proxy.config.idle_timeout
            self.wire.wait(WRITE, self._flush_then_next)
        else:
            self._ready_for_next()

    def _flush_then_next(self, events: int) -> None:
        try:
            sent = self.wire.flush()
        except OSError:
            self.close()
            return
        if sent:
            self._ready_for_next()

    def _ready_for_next(self) -> None:
        if self.proxy.draining:
            self.finish(b"")
            return
        self.due = self.loop.now + self.proxy.config.keepalive_timeout
        self.next()

    def finish(self, data: bytes) -> None:
        """Send ``data`` as the last thing, and close without destroying it on its way."""
        self.exchange = None
        self.leave_origin()
        self.due = self.loop.now + LINGER + (self.proxy.config.idle_timeout if self.wire.out else 0)
        self.loop.watch(self)
        try:
            if data:
                self.wire.send(data)
        except OSError:
            self.close()
            return
        Linger(self).step(0)

    def owns(self, fd: int) -> bool:
        """Whether that descriptor is one of its."""
        dial = self.dial if self.exchange is None else self.exchange.dial
        if dial is not None and dial.fd == fd >= 0:
            return True
        wires = [self.wire]
        if self.origin is not None:
            wires.append(self.origin.wire)
        if self.tunnel is not None:
            wires.append(self.tunnel.origin)
        if self.exchange is not None and self.exchange.origin is not None:
            wires.append(self.exchange.origin.wire)
        return any(wire.fd == fd for wire in wires)

    def idle(self) -> bool:
        """Nothing is under way: the client may be sent off."""
        waits = self.exchange is not None or self.parked is not None
        return not waits and self.dial is None and self.tunnel is None and not self.buffer

    def expire(self, now: float) -> None:
        """Too slow. What an exchange or a dial waits for has its own deadline."""
        if self.parked is not None:
            self.proxy.settle(self.parked[2])
        elif self.exchange is not None:
            self.exchange.expire(now)
        elif self.buffer:
            self.buffer = b""
            self.finish(answer.failed(408, "the head of the request did not arrive in time"))
        else:
            self.close()

    def keep(self, origin: Origin) -> None:
        """Keep the connection to an origin for the next request; if it speaks or ends meanwhile, it is of no more use."""
        self.origin = origin
        origin.wire.wait(READ, self._origin_spoke)

    def _origin_spoke(self, events: int) -> None:
        self.leave_origin()

    def leave_origin(self) -> None:
        """Close the kept connection to the last origin, if there is one."""
        origin, self.origin = self.origin, None
        if origin is not None:
            origin.wire.close()

    @property
    def agent(self) -> str:
        """Whose traffic is under way; ``""`` while none is."""
        if self.exchange is not None:
            return self.exchange.agent
        if self.parked is not None:
            return self.parked[2]
        return self.record.agent if self.record is not None and (self.tunnel or self.dial) else ""

    def close(self, *, reset: bool = False, how: str = "proxy-stopped") -> None:
        """Close everything that belongs to this session; ``how`` is what is reported of what was under way."""
        self.parked = None
        if self.dial is not None:
            self.dial.cancel()
            self.dial = None
            if self.record is not None and self.exchange is None and not self.record.ended:
                self.proxy.seen.ended(self.record, how)
        if self.tunnel is not None:
            self.tunnel.end(how, reset=reset)
            return
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.abandon(how)
        self.leave_origin()
        self.wire.close(reset=reset)
        self.proxy.gone(self)
