"""A tunnel that has been opened: its client speaks TLS with us, and its requests are those of any session, one after the other."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from kaizen_security.egress import http1
from kaizen_security.egress.dial import Origin
from kaizen_security.egress.hello import Hello
from kaizen_security.egress.loop import READ, WRITE
from kaizen_security.egress.report import Record
from kaizen_security.egress.session import Session
from kaizen_security.egress.wire import Wire
from kaizen_security.interception.tls import TlsOver

if TYPE_CHECKING:
    from kaizen_security.interception.interceptor import Interceptor

NOT_TAKEN = frozenset(
    "TLSV1_ALERT_UNKNOWN_CA SSLV3_ALERT_BAD_CERTIFICATE SSLV3_ALERT_CERTIFICATE_UNKNOWN SSLV3_ALERT_CERTIFICATE_EXPIRED "
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE TLSV1_ALERT_ACCESS_DENIED SSLV3_ALERT_CERTIFICATE_REVOKED".split()
)
"""How OpenSSL calls the alerts (RFC 8446 section 6.2) of a client that does not take our certificate."""


class Opened(Session):
    """``name`` is what the client calls the origin: the TLS name, or else the destination. ``opening``: the tunnel's own record."""

    __slots__ = ("interceptor", "name", "opening", "place")
    wire: TlsOver

    def __init__(
        self, interceptor: Interceptor, session: Session, client: Wire, origin: Wire, hello: Hello, first: bytes
    ) -> None:
        record = session.record
        assert record is not None
        host, _, port = record.target.rpartition(":")
        self.place = http1.Destination(host.strip("[]"), int(port), record.target)
        self.name = hello.sni.rstrip(".") or self.place.host
        self.interceptor = interceptor
        self.opening: Record | None = record
        wire = TlsOver(client, interceptor.context(self.name), server=True, first=first)
        super().__init__(session.proxy, client.sock, session.peer, wire)
        self.meters = session.meters
        self.keep(
            Origin(origin, (record.agent, self.place.host, self.place.port), str(record.extra.get("address", "")))
        )

    def start(self) -> None:
        """Shake hands first."""
        self.loop.watch(self)
        self._shake(0)

    def _shake(self, events: int) -> None:
        wire = self.wire
        try:
            if events & WRITE:
                wire.flush()
            done = wire.shake()
        except OSError as err:
            self._not_taken(err)
            return
        if not done:
            wire.wait(READ | (WRITE if wire.out else 0), self._shake)
            return
        record = self._record()
        record.extra["inspected"] = "all"
        early = wire.pending()
        if early == b"":
            self.close(how="closed")
            return
        self.buffer = early or b""
        wire.wait(READ, self._read)
        self.next()

    def _not_taken(self, err: OSError) -> None:
        """The client ends the handshake: one that expects other certificates says so, who just leaves may have other reasons."""
        record = self._record()
        reason = err.reason if isinstance(err, ssl.SSLError) else ""
        if reason in NOT_TAKEN:
            record.findings += (self.interceptor.pinned(record, self.name, reason),)
            self.close(how="pinned")
        else:
            self.proxy.counts["handshakes failed"] += 1
            self.close(how="tls-failed")

    def _record(self) -> Record:
        assert self.opening is not None
        return self.opening

    # --- requests -----------------------------------------------------------------------------------------------------------

    def _understood(self, data: bytes) -> tuple[http1.Request, http1.Destination] | None:
        head = http1.request(data)
        if head.method == b"CONNECT" or (head.target[:1] != b"/" and head.target != b"*"):
            raise http1.Bad("within a tunnel a request names a path, and its host in the Host field")
        place = self.place
        return head, http1.Destination(place.host, place.port, place.name, head.target)

    def _who(self, head: http1.Request) -> str:
        return self._record().agent

    def _begin(self, head: http1.Request, destination: http1.Destination, agent: str) -> None:
        self.exchange = self.interceptor.exchange(self, head, destination, agent)
        self.exchange.start()

    def hosts(self) -> tuple[str, str]:
        """What a Host field may say, with its port."""
        return self.place.name, http1.authority(self.name, self.place.port)

    # --- the end ------------------------------------------------------------------------------------------------------------

    @property
    def agent(self) -> str:
        """See Session."""
        return "" if self.opening is None else self.opening.agent

    def _tunnel_done(self, how: str) -> None:
        super()._tunnel_done(how)
        self._told(how)

    def close(self, *, reset: bool = False, how: str = "") -> None:
        """See Session."""
        tunnel = self.tunnel
        super().close(reset=reset, how=how or "proxy-stopped")
        if tunnel is None:
            self._told(how or ("reset" if reset else "closed"))

    def _told(self, how: str) -> None:
        """The tunnel itself is over: once."""
        record, self.opening = self.opening, None
        if record is not None:
            record.up += self.wire.came
            record.down += self.wire.went
            self.proxy.seen.ended(record, how)
