"""Clients that speak TLS to the proxy itself, and are named by their certificate (mutual TLS)."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING

from kaizen_security.contract.errors import Misconfigured
from kaizen_security.egress import http1
from kaizen_security.egress.accounts import MAX_AGENT
from kaizen_security.egress.loop import READ, WRITE, Loop
from kaizen_security.egress.session import Session
from kaizen_security.egress.settings import Config
from kaizen_security.egress.wire import Wire

if TYPE_CHECKING:
    from kaizen_security.egress.proxy import Proxy


def server_context(config: Config) -> ssl.SSLContext:
    """What the proxy shows to its clients, and whom it believes. Raises Misconfigured."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(config.tls_cert, config.tls_key or None)
    except (OSError, ssl.SSLError) as err:
        raise Misconfigured(f"tls_cert, tls_key: {err}") from err
    if config.tls_client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(config.tls_client_ca)
        except (OSError, ssl.SSLError) as err:
            raise Misconfigured(f"tls_client_ca: {err}") from err
    return context


class TlsWire(Wire):
    """A wire in TLS. OpenSSL reads no further than the record that it gives: what is left stays with the kernel's poller."""

    __slots__ = ()
    NOT_NOW = (ssl.SSLWantReadError, ssl.SSLWantWriteError)
    sock: ssl.SSLSocket

    def __init__(self, loop: Loop, sock: ssl.SSLSocket) -> None:
        super().__init__(loop, sock)

    def finish(self) -> None:
        """See Wire."""
        # SSLSocket's own would from then on take what still comes for plain text.
        with suppress(OSError):
            socket.SocketType.shutdown(self.sock, socket.SHUT_WR)


class Secured(Session):
    """A session that begins with a handshake."""

    __slots__ = ("named",)
    wire: TlsWire

    def __init__(self, proxy: Proxy, sock: ssl.SSLSocket, peer: str) -> None:
        super().__init__(proxy, sock, peer, TlsWire(proxy.loop, sock))
        self.named = ""
        """The agent of the client's certificate."""

    def start(self) -> None:
        """Shake hands first."""
        self.loop.watch(self)
        self._shake(READ)

    def _shake(self, events: int) -> None:
        try:
            self.wire.sock.do_handshake()
        except ssl.SSLWantReadError:
            self.wire.wait(READ, self._shake)
            return
        except ssl.SSLWantWriteError:
            self.wire.wait(WRITE, self._shake)
            return
        except (OSError, ValueError):
            self.proxy.counts["handshakes failed"] += 1
            self.close()
            return
        self.named = named(self.wire.sock.getpeercert() or {})
        self.wire.wait(READ, self._read)
        self._read(READ)

    def _who(self, head: http1.Request) -> str:
        return self.named or super()._who(head)


def secured(proxy: Proxy, context: ssl.SSLContext, sock: socket.SocketType, peer: str) -> Secured:
    """A session over a connection that was just accepted. Raises OSError for one that is gone already."""
    plain = socket.socket(sock.family, sock.type, sock.proto, sock.detach())
    plain.setblocking(False)
    try:
        plain.getpeername()  # of one that is gone, wrap_socket would leave the socket open
    except OSError:
        plain.close()
        raise
    return Secured(proxy, context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False), peer)


def named(certificate: object) -> str:
    """The agent that a certificate (as ``SSLSocket.getpeercert`` gives it) is for: its common name, ``""`` when there is none."""
    subject = certificate.get("subject", ()) if isinstance(certificate, dict) else ()
    names = [value for part in subject for key, value in part if key == "commonName"]
    good = len(names) == 1 and 0 < len(names[0]) <= MAX_AGENT and names[0].isprintable()
    return str(names[0]) if good else ""
