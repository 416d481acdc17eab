"""One request within an opened tunnel: looked through before it leaves, to an origin that has proved who it is."""

from __future__ import annotations

import ssl

from kaizen_security.contract import reasons
from kaizen_security.contract.finding import Finding
from kaizen_security.egress import http1, rewrite
from kaizen_security.egress.dial import Origin
from kaizen_security.egress.forward import Exchange
from kaizen_security.egress.gate import is_address
from kaizen_security.egress.loop import READ, WRITE
from kaizen_security.egress.rules import Refusal
from kaizen_security.interception.messages import Messages
from kaizen_security.interception.opened import Opened
from kaizen_security.interception.payload import Payload
from kaizen_security.interception.scan import Leak, Scan
from kaizen_security.interception.tls import TlsOver

PLAIN_FIELDS = frozenset(
    b"host content-length transfer-encoding connection accept accept-encoding accept-language te upgrade expect date "
    b"user-agent".split()
)
"""Fields whose value is short and of a form of its own. A longer one is looked at all the same."""
SHORT = 24


class Inspected(Exchange):
    """As Exchange, with an origin in TLS, and with what leaves looked through.

    Nothing is sent before the head has been seen, and of the body never the end of what has come (``scan.HOLD``): a client that
    waits for an answer in the middle of its own body waits in vain.
    """

    __slots__ = ("opened", "payload", "scan", "shaking", "unsent")

    def __init__(self, opened: Opened, head: http1.Request, destination: http1.Destination, agent: str) -> None:
        self.opened = opened
        super().__init__(opened, head, destination, agent)
        self.scan: Scan = opened.interceptor.scanner.start(opened.name, agent)
        self.payload = Payload(head, self.scan, most=opened.interceptor.settings.bytes)
        self.upload = self.payload  # type: ignore[assignment]  # it has what an exchange asks of a body
        self.shaking = False
        self.unsent = self.first
        self.record.extra["sni"] = opened.name

    def _other_host(self) -> str | None:
        other = rewrite.other_host(self.head, self.destination, default=443)
        named = self.opened.hosts()
        return None if other in named else other

    def _first(self) -> bytes:
        hosts = self.head.values(b"host")
        via = self.session.proxy.config.via
        head = without(self.head, b"sec-websocket-extensions") if self.upgrade else self.head
        return rewrite.request(
            head,
            self.destination,
            websocket=self.upgrade,
            via=via,
            host=hosts[0] if hosts else self.opened.name.encode("ascii"),
        )

    # --- before it leaves ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Look at the head, decide, then go on as for any request."""
        leaks = self._in_head()
        refusal = self._other_name() or self._leaked(leaks) or self._unread()
        if refusal is not None:
            self._refused(refusal)
        else:
            super().start()

    def _in_head(self) -> list[Leak]:
        leaks = self.scan.text(self.destination.path.decode("ascii"), "address")
        for name, _, value in self.head.fields.entries:
            if len(value) >= 8 and (name not in PLAIN_FIELDS or len(value) > SHORT):
                said = name.decode("ascii")
                leaks += self.scan.text(value.decode("utf-8", "replace"), f"field {said}", said)
        return leaks

    def _other_name(self) -> Refusal | None:
        """A Host that is neither the tunnel's nor the TLS name is decided on as one that hides."""
        other = self._other_host()
        if other is None:
            return None
        try:
            host, port, _ = http1.host_port(other.encode("ascii", "replace"), None)
        except http1.Bad as err:
            raise http1.Bad("the Host field names no host") from err
        asked = "" if is_address(self.destination.host) else self.destination.host
        return self.session.proxy.gate.hidden_name(asked or self.destination.host, self.agent, host, port)

    def _unread(self) -> Refusal | None:
        why = self.payload.unread
        self.record.extra["inspected"] = why or "all"
        return self.opened.interceptor.refuses(self.record, why) if why else None

    def _leaked(self, leaks: list[Leak]) -> Refusal | None:
        """Note what was found; why it is refused where it is: a canary always, the rest by the agent's mode."""
        if not leaks:
            return None
        findings = tuple(leak.finding(self.opened.name) for leak in leaks)
        proxy = self.session.proxy
        for leak in leaks:
            proxy.counts[leak.kind] += 1
        if not any(leak.kind == "canary" or (leak.grave and proxy.enforces(self.agent)) for leak in leaks):
            self.record.findings += findings
            return None
        return refusal(findings)

    # --- to the origin ------------------------------------------------------------------------------------------------------

    def _with(self, origin: Origin) -> None:
        """The origin is connected: have it prove who it is, then send."""
        self.origin = origin
        if not isinstance(origin.wire, TlsOver):
            # It was dialled for this tunnel, so there is nothing that could be old about it.
            self.reused = False
            self.client.wait(self.client.mask, self._early)
            opened = self.opened
            try:
                origin.wire = TlsOver(origin.wire, opened.interceptor.upstream, server=False, host=opened.name)
            except ValueError:
                self._fail(502, "the TLS name is none that a certificate could be for", "tls-failed")
                return
            self.shaking = True
            self.session.due = self.loop.now + self.session.proxy.config.connect_timeout
            self._shake(0)
            return
        data, self.session.buffer = self.session.buffer, b""
        self.client.wait(self.client.mask, self._client_ready)
        # With Expect the origin has to say that it wants the body before there is one.
        if b"expect" in self.head.fields.index and not self.payload.done and not self._up(self._head()):
            return
        self._from_client(data, begin=True)
        if not self.over:
            self._rest(force=True)

    def _shake(self, events: int) -> None:
        origin = self.origin
        assert origin is not None
        wire = origin.wire
        assert isinstance(wire, TlsOver)
        try:
            if events & WRITE:
                wire.flush()
            done = wire.shake()
        except ssl.SSLCertVerificationError as err:
            self._fail(
                502, f"the certificate of {self.opened.name} does not hold: {err.verify_message}", "bad-certificate"
            )
            return
        except OSError as err:
            why = err.reason if isinstance(err, ssl.SSLError) and err.reason else "the connection broke"
            self._fail(502, f"no TLS with {self.opened.name}: {why}", "tls-failed")
            return
        if not done:
            wire.wait(READ | (WRITE if wire.out else 0), self._shake)
            return
        self.shaking = False
        self.active = self.loop.now
        self.session.due = self.active + self.session.proxy.config.idle_timeout
        wire.wait(READ, self._origin_ready)
        self._with(origin)

    def _from_client(self, data: bytes, *, begin: bool = False) -> None:
        session = self.session
        if not data and not begin:
            session.ended = True
            if not self.payload.done:
                self._client_broken()
            return
        if self.payload.done and not begin:
            session.buffer += data
            return
        try:
            taken, ready = self.payload.take(data)
        except http1.Bad as bad:
            self._fail(bad.status, str(bad), "bad-request")
            return
        session.buffer += data[taken:]
        leaks, self.payload.leaks = self.payload.leaks, []
        refusal = self._leaked(leaks) or self._unread()
        if refusal is not None:
            self._stop(refusal)
            return
        if ready or self.payload.done:
            ready = self._head() + ready
        if self._count(taken, up=True):
            self._up(ready)

    def _head(self) -> bytes:
        head, self.unsent = self.unsent, b""
        self.record.up += len(head)
        return head

    def _up(self, data: bytes) -> bool:
        """Send it on; False when that was the end."""
        if data and self.origin is not None and not self.refused_upload:
            try:
                self.origin.wire.send(data)
            except OSError:
                if self.reused and not self.record.down:
                    self._origin_broken()
                    return False
                self._upload_refused()
        return True

    def _stop(self, refusal: Refusal) -> None:
        """Refused in the middle of its body: what has gone was seen, the rest stays here."""
        origin, self.origin = self.origin, None
        if origin is not None:
            origin.wire.close(reset=True)
        if self.answered:
            self._cut("refused")
            self.session.proxy.seen.refused(self.session.proxy.seen.beside(self.record), refusal)
        else:
            self._refused(refusal)

    def _dial(self) -> None:
        self.unsent = self.first
        super()._dial()

    def _switch(self, head: http1.Response) -> None:
        """101: what the client says from here on goes through ``Messages``."""
        if head.values(b"sec-websocket-extensions"):
            raise http1.Bad("the origin agrees to an extension that was not asked for", status=502)
        messages = Messages(self.scan, self._said)
        early, self.session.buffer = self.session.buffer, b""
        try:
            self.session.buffer = messages.take(early)
        except ConnectionError as err:
            raise http1.Bad(str(err)) from err
        self.opened.wire.sieve = messages.take
        super()._switch(head)

    def _said(self, leaks: list[Leak]) -> None:
        """Something was found in a message. Raises ConnectionError where it is refused: the connection ends."""
        refusal = self._leaked(leaks)
        if refusal is not None:
            self.session.proxy.seen.refused(self.session.proxy.seen.beside(self.record), refusal)
            raise ConnectionAbortedError(refusal.reason)

    # --- the answer ---------------------------------------------------------------------------------------------------------

    def _origin_ended(self) -> None:
        wire = self.origin.wire if self.origin is not None else None
        if isinstance(wire, TlsOver) and wire.ragged:
            # As the origin did not say that this was all, the client is not told so either.
            self.opened.wire.quiet = True
        super()._origin_ended()

    def expire(self, now: float) -> None:
        """The origin does not shake hands, or nothing has moved for too long."""
        if self.shaking:
            self._fail(504, f"no TLS with {self.opened.name}: it does not answer", "tls-timeout")
        else:
            super().expire(now)


def without(head: http1.Request, name: bytes) -> http1.Request:
    """The request without a field."""
    entries = tuple(entry for entry in head.fields.entries if entry[0] != name)
    index = {key: values for key, values in head.fields.index.items() if key != name}
    return http1.Request(head.minor, http1.Fields(entries, index), head.method, head.target)


def refusal(findings: tuple[Finding, ...]) -> Refusal:
    """What is answered to a request that carries what must not leave."""
    return Refusal(
        code="payload",
        reason=reasons.blocked_by_policy(finding.kind for finding in findings),
        advice=findings[0].advice,
        evidence=findings,
    )
