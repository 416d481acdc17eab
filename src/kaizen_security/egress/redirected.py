"""Transparent mode: connections that iptables or nftables redirected here, whose clients know of no proxy.

Where it was going comes from the kernel (``SO_ORIGINAL_DST``), its name from what it says first: the TLS hello, the Host of a plain
request, or else from the DNS sidecar. Who says a name is taken there by it: the address is the client's choice, and a client that
may say ``api.example`` must not reach another's address with it. Who says none goes to the address that it was going to, under the
name for which the DNS sidecar saw the agent get just that address: whoever owns a name may let it lead elsewhere a moment later.
"""

from __future__ import annotations

import re
import socket
import struct
from ipaddress import ip_address
from typing import TYPE_CHECKING

from kaizen_security.egress import answer, hello, http1
from kaizen_security.egress.dial import Reached
from kaizen_security.egress.loop import READ
from kaizen_security.egress.rules import Refusal
from kaizen_security.egress.session import Session

if TYPE_CHECKING:
    from kaizen_security.egress.proxy import Proxy

SO_ORIGINAL_DST = 80
"""The same number for IPv4 (``linux/netfilter_ipv4.h``) and IPv6 (``IP6T_SO_ORIGINAL_DST``)."""
SPEAKS_FIRST = 0.5
"""Seconds after which a silent client is taken for one whose server speaks first (SSH, SMTP, many databases)."""
_REQUEST = re.compile(rb"[A-Z]{3,16} (?:/|\*|http://)")
_MAY_BECOME_ONE = re.compile(rb"[A-Z]{1,16}(?: (?:h(?:t(?:t(?:p(?::/?)?)?)?)?)?)?")
_PLAIN = http1.Request(1, http1.Fields((), {}), b"CONNECT", b"")


def original(sock: socket.SocketType) -> tuple[str, int]:
    """Where the connection was going before it was redirected. Raises OSError where it was not: to dial that would go round."""
    here, arrived = sock.getsockname()[:2]
    if sock.family == socket.AF_INET or "." in here:
        packed = sock.getsockopt(socket.IPPROTO_IP, SO_ORIGINAL_DST, 16)
        port, address = struct.unpack_from("!2xH4s", packed)
    else:
        packed = sock.getsockopt(socket.IPPROTO_IPV6, SO_ORIGINAL_DST, 28)
        port, address = struct.unpack_from("!2xH4x16s", packed)
    goes = str(ip_address(address))
    if (goes, port) == (here.removeprefix("::ffff:"), arrived):
        raise ConnectionRefusedError("nobody redirected it")
    return goes, port


class Redirected(Session):
    """A session that begins with a look at the client's first bytes. ``goes``: address and port that it was going to."""

    __slots__ = ("_hello", "_stays", "goes", "speaks")

    def __init__(self, proxy: Proxy, sock: socket.SocketType, peer: str, goes: tuple[str, int]) -> None:
        super().__init__(proxy, sock, peer)
        self.goes = goes
        self.speaks = ""
        """``tls``, ``http``, ``other``; empty while that is open."""
        self._hello = hello.Reader()
        self._stays = False
        """It said no name: it is dialled where it was going."""

    def start(self) -> None:
        """Wait for its first bytes, for a while."""
        self.loop.watch(self)
        self.due = self.loop.now + SPEAKS_FIRST
        self._sniff(READ)

    def _sniff(self, events: int) -> None:
        try:
            data = self.wire.recv()
        except OSError:
            data = b""
        if data == b"":
            self.close()
            return
        if data is not None:
            self.buffer += data
            self.due = self.loop.now + self.proxy.config.header_timeout
        self._decide()
        if not self.speaks:
            self.wire.wait(READ, self._sniff)

    def _decide(self) -> None:
        data = self.buffer
        if not data:
            return
        if data[:1] == b"\x16":
            try:
                found = self._hello.take(data)
            except ValueError:
                self._go("tls", "")  # the tunnel's own look at its first bytes says that nobody can read them
                return
            if found is not None:
                self._go("tls", found.sni)
        elif _REQUEST.match(data):
            self.speaks = "http"
            self.next()
        elif not _MAY_BECOME_ONE.fullmatch(data):
            self._go("other", "")

    def _go(self, speaks: str, name: str) -> None:
        """Dial for what is no plain HTTP: as a CONNECT that nobody sent."""
        self.speaks = speaks
        host, port = self.goes
        agent = self.proxy.accounts.of_peer(self.peer)
        said = name.rstrip(".")
        known = said or self.proxy.names.of(agent, host, self.loop.now)
        self._stays = not said
        try:
            place = http1.host_port(f"{known}:{port}".encode(), None) if known else None
        except (http1.Bad, UnicodeEncodeError):
            place = None
        where = http1.Destination(*(place or http1.host_port(http1.authority(host, port).encode(), None)))
        self._proceed(_PLAIN, where, agent)

    def expire(self, now: float) -> None:
        """A silent client, or a hello that does not end: go on with what is there."""
        if self.speaks or self.parked is not None or self.exchange is not None:
            super().expire(now)
        else:
            self._go("tls" if self.buffer[:1] == b"\x16" else "other", "")

    # --- what differs from a client that knows its proxy --------------------------------------------------------------------

    def _understood(self, data: bytes) -> tuple[http1.Request, http1.Destination] | None:
        head = http1.request(data)
        if head.method == b"CONNECT":
            raise http1.Bad("CONNECT on a connection that was going elsewhere")
        if head.target[:1] not in (b"/", b"*"):
            asked = http1.destination(head)
            return head, http1.Destination(
                asked.host, self.goes[1], http1.authority(asked.host, self.goes[1]), asked.path
            )
        hosts = head.values(b"host")
        if len(hosts) > 1 or (not hosts and head.minor == 1):
            raise http1.Bad("a request needs exactly one Host field")
        host = http1.host_port(hosts[0], 80)[0] if hosts else self.goes[0]
        return head, http1.Destination(host, self.goes[1], http1.authority(host, self.goes[1]), head.target)

    def _place(self, destination: http1.Destination) -> tuple[str, int]:
        named = destination.host, destination.port
        hosts = self.proxy.means.hosts
        return self.goes if self._stays and not {named, (named[0], 0)} & hosts.keys() else named

    def _who(self, head: http1.Request) -> str:
        return self.proxy.accounts.of_peer(self.peer)

    def _tunnel(self, reached: Reached) -> None:
        early, self.buffer = self.buffer, b""
        self._become_tunnel(reached.wire, up=early, down=b"", peek=True)  # who was silent may speak TLS yet

    def _refused(self, refusal: Refusal) -> None:
        assert self.record is not None
        self.proxy.seen.refused(self.record, refusal)
        if self.speaks == "tls":
            self.finish(answer.TLS_ACCESS_DENIED)
        else:
            self.close(reset=True)

    def _not_reached(self, data: bytes) -> None:
        self.close(reset=True)
