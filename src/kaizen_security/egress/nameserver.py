"""DNS sidecar: takes an agent's queries, refuses what policy forbids, reports each, and passes the rest to a real resolver.

UDP and TCP. Every query that is passed on has a socket of its own, so that a forged answer has to guess its port and its id.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from kaizen_security.contract import canonical
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.egress import dnswire
from kaizen_security.egress.door import BACKLOG, Door
from kaizen_security.egress.labels import Labels
from kaizen_security.egress.loop import READ, WRITE
from kaizen_security.egress.rules import Refusal
from kaizen_security.egress.settings import Config
from kaizen_security.egress.wire import Wire

if TYPE_CHECKING:
    from kaizen_security.egress.proxy import Proxy
    from kaizen_security.egress.report import Record

MAX_WAITING = 1024
"""Queries under way; more are dropped and counted, as a resolver under load drops them."""
TIMEOUT = 5.0
MAX_MESSAGE = 65535
QUERIES = 64
"""Taken in one turn of the loop."""
ATTEMPTS = 16
"""Ports that are tried when any will do: one that is free over TCP may be taken over UDP."""
_LENGTH = struct.Struct("!H")


def _sockets(family: socket.AddressFamily, host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """One for datagrams and one that listens, at the same port. ``port`` 0: at any that is free for both. Raises OSError."""
    for left in reversed(range(1 if port else ATTEMPTS)):
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
        datagrams = socket.socket(family, socket.SOCK_DGRAM)
        try:
            datagrams.setblocking(False)
            datagrams.bind((host, listener.getsockname()[1]))
            return datagrams, listener
        except OSError as err:
            listener.close()
            datagrams.close()
            if not left or err.errno != errno.EADDRINUSE:
                raise
    raise AssertionError("a port is tried at least once")


class NameServer:
    """Owned by the loop's thread. ``upstream`` is the resolver's address and port."""

    def __init__(self, proxy: Proxy, host: str, port: int, upstream: tuple[str, int], *, label_bytes: int) -> None:
        self.proxy = proxy
        self.loop = proxy.loop
        self.upstream = upstream
        self.labels = Labels(label_bytes)
        self.waiting: set[object] = set()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._udp, listener = _sockets(family, host, port)
        self.address: tuple[str, int] = self._udp.getsockname()[:2]
        self.door = Door(self.loop, listener, welcome=self._welcome, room=self._room, counts=proxy.counts)

    def open(self) -> None:
        """Take queries from now on."""
        self.door.open()
        self.loop.add(self._udp.fileno(), READ, self._queries)

    def close(self) -> None:
        """No more."""
        self.door.close()
        self.loop.remove(self._udp.fileno())
        self._udp.close()

    def _room(self) -> bool:
        return len(self.waiting) < MAX_WAITING

    def _queries(self, events: int) -> None:
        for _ in range(QUERIES):
            try:
                message, peer = self._udp.recvfrom(MAX_MESSAGE)
            except OSError:
                return
            self.judge(message, peer[0], Datagram(self, peer))

    def datagram(self, data: bytes, peer: tuple[str, int]) -> None:
        """Answer a query that came by UDP."""
        with suppress(OSError):
            self._udp.sendto(data, peer)

    def _welcome(self, sock: socket.SocketType, peer: str) -> None:
        Stream(self, sock, peer).start()

    def judge(self, message: bytes, peer: str, asker: Datagram | Stream) -> None:
        """Refuse the query, or pass it on."""
        try:
            asked = dnswire.question(message)
        except ValueError:
            self.proxy.counts["dns: unreadable"] += 1
            asker.answered(b"")
            return
        agent = self.proxy.accounts.of_peer(peer)
        record = self.proxy.seen.record(agent, asked.name or ".", "dns")
        record.extra |= {"protocol": "dns", "method": asked.type}
        refusal = self._refusal(agent, asked.name, record)
        self.proxy.counts["dns"] += 1
        if refusal is not None:
            self.proxy.seen.refused(record, refusal)
            asker.answered(dnswire.refusal(message, asked, dnswire.NXDOMAIN))
        elif not self._room():
            self.proxy.counts["dns: too many"] += 1
            asker.answered(dnswire.refusal(message, asked, dnswire.SERVFAIL))
        else:
            asker.forward(Forwarding(self, message, asked, record, asker))

    def _refusal(self, agent: str, name: str, record: Record) -> Refusal | None:
        finding = self.labels.see(agent, name, self.loop.now)
        refusal = self.proxy.permits_query(agent, name)
        if finding is not None:
            record.findings = (finding,)
            if refusal is None and self.proxy.enforces(agent):
                refusal = Refusal(
                    code="dns-labels",
                    reason="blocked by policy: " + finding.kind,
                    advice=finding.advice,
                    evidence=(finding,),
                )
        return refusal

    def answer(self, reply: bytes, record: Record) -> None:
        """A reply has come: note where the name leads, and report."""
        with suppress(ValueError):
            status, found, ttl = dnswire.addresses(reply)
            record.extra["status"] = status
            self.proxy.names.learn(record.agent, record.target, found, self.loop.now, ttl)
        self.proxy.seen.ended(record, "closed")


class Datagram:
    """Who asked by UDP."""

    __slots__ = ("_peer", "_server")

    def __init__(self, server: NameServer, peer: tuple[str, int]) -> None:
        self._server = server
        self._peer = peer

    def answered(self, data: bytes) -> None:
        """Send the answer, if there is one."""
        if data:
            self._server.datagram(data, self._peer)

    def forward(self, forwarding: Forwarding) -> None:
        """By UDP too: a longer answer comes cut, and the client asks again by TCP."""
        forwarding.start(socket.SOCK_DGRAM)


class Stream:
    """Who asked by TCP: one query after the other, each after its length (RFC 7766)."""

    __slots__ = ("_buffer", "_free", "_judging", "_peer", "_server", "_wire", "due")

    def __init__(self, server: NameServer, sock: socket.SocketType, peer: str) -> None:
        self._server = server
        self._wire = Wire(server.loop, sock)
        self._peer = peer
        self._buffer = b""
        self._free = True
        """No query of it waits for its answer."""
        self._judging = False
        self.due = server.loop.now + TIMEOUT

    def start(self) -> None:
        """Read the first query."""
        self._server.waiting.add(self)
        self._server.loop.watch(self)
        self._next()

    def _next(self) -> None:
        # What is answered at once comes back here, and the loop goes on with it: a read may hold thousands of queries.
        if self._judging:
            return
        self._judging = True
        while self._free:
            whole, self._buffer = _framed(self._buffer)
            if whole is None:
                self._wire.wait(READ, self._read)
                break
            self._free = False
            self._wire.wait(0, self._read)
            self._server.judge(whole, self._peer, self)
        self._judging = False

    def _read(self, events: int) -> None:
        try:
            data = self._wire.recv()
        except OSError:
            data = b""
        if data is None:
            return
        if not data:
            self.close()
            return
        self._buffer += data
        self._next()

    def answered(self, data: bytes) -> None:
        """Send the answer and read the next query; without one, hang up."""
        try:
            if not data or not self._wire.send(_LENGTH.pack(len(data)) + data):
                self.close()
                return
        except OSError:
            self.close()
            return
        self.due = self._server.loop.now + TIMEOUT
        self._free = True
        self._next()

    def forward(self, forwarding: Forwarding) -> None:
        """By TCP too."""
        self.due = self._server.loop.now + 2 * TIMEOUT
        forwarding.start(socket.SOCK_STREAM)

    def expire(self, now: float) -> None:
        """It says nothing more."""
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._server.waiting.discard(self)
        self._server.loop.forget(self)
        self._wire.close()


class Forwarding:
    """One query on its way to the resolver and back."""

    __slots__ = ("_answered", "_asked", "_buffer", "_message", "_record", "_server", "_stream", "_wire", "due")

    def __init__(
        self, server: NameServer, message: bytes, asked: dnswire.Question, record: Record, asker: Datagram | Stream
    ) -> None:
        self._server = server
        self._message = message
        self._asked = asked
        self._record = record
        self._answered: Callable[[bytes], None] = asker.answered
        self._wire: Wire | None = None
        self._buffer = b""
        self._stream = False
        self.due = server.loop.now + TIMEOUT

    def start(self, kind: int) -> None:
        """Ask over a socket of this kind."""
        loop = self._server.loop
        self._stream = kind == socket.SOCK_STREAM
        try:
            family = socket.AF_INET6 if ":" in self._server.upstream[0] else socket.AF_INET
            sock = socket.SocketType(family, kind, 0)
            sock.setblocking(False)
            self._wire = Wire(loop, sock)
            sock.connect_ex(self._server.upstream)
        except OSError:
            self._failed()
            return
        self._server.waiting.add(self)
        loop.watch(self)
        self._wire.wait(WRITE, self._ask)

    def _ask(self, events: int) -> None:
        assert self._wire is not None
        data = _LENGTH.pack(len(self._message)) + self._message if self._stream else self._message
        try:
            self._wire.send(data)
        except OSError:
            self._failed()
            return
        self._wire.wait(READ, self._hear)

    def _hear(self, events: int) -> None:
        assert self._wire is not None
        try:
            data = self._wire.recv()
        except OSError:
            data = b""
        if data is None:
            return
        if not data:
            self._failed()
            return
        self._buffer = self._buffer + data if self._stream else data
        reply = _framed(self._buffer)[0] if self._stream else data
        if reply is None:
            return
        try:
            asked = dnswire.question(reply, reply=True)
        except ValueError:
            return  # not an answer to this: wait for the real one
        if (asked.id, asked.name, asked.kind) == (self._asked.id, self._asked.name, self._asked.kind):
            self._end()
            self._server.answer(reply, self._record)
            self._answered(reply)

    def expire(self, now: float) -> None:
        """The resolver does not answer."""
        self._failed()

    def _failed(self) -> None:
        self._end()
        self._server.proxy.counts["dns: no answer"] += 1
        self._server.proxy.seen.ended(self._record, "dns-failed")
        self._answered(dnswire.refusal(self._message, self._asked, dnswire.SERVFAIL))

    def _end(self) -> None:
        self._server.waiting.discard(self)
        self._server.loop.forget(self)
        if self._wire is not None:
            self._wire.close()


def _framed(data: bytes) -> tuple[bytes | None, bytes]:
    """The first message of a stream, if it is all there, and the rest."""
    if len(data) < 2:
        return None, data
    end = 2 + _LENGTH.unpack_from(data)[0]
    return (data[2:end], data[end:]) if len(data) >= end else (None, data)


def nameserver(proxy: Proxy, config: Config) -> NameServer:
    """The DNS sidecar of these settings. Raises Misconfigured."""
    upstream = config.dns_upstream or _system_resolver()
    where = canonical.target(upstream)
    try:
        return NameServer(
            proxy, config.dns_host, config.dns_port, (where.host, where.port or 53), label_bytes=config.dns_label_bytes
        )
    except OSError as err:
        raise Misconfigured(f"cannot take queries on {config.dns_host} port {config.dns_port}: {err.strerror}") from err


def _system_resolver(path: Path = Path("/etc/resolv.conf")) -> str:
    try:
        lines = path.read_text().splitlines()
    except (OSError, ValueError) as err:
        raise Misconfigured(f"dns_upstream: {path} cannot be read, so it has to be given") from err
    for line in lines:
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            return words[1].partition("%")[0]
    raise Misconfigured(f"dns_upstream: {path} names no resolver, so it has to be given")
