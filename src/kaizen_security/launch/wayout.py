"""What serves the namespace's sockets from outside: TCP to the egress proxy, names from our table, the rest seen and refused.

A connection that was redirected tells its true destination (SO_ORIGINAL_DST). It goes on as CONNECT to the proxy, under the name
that its address stands for, so that the proxy judges and reports it like any other.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from ipaddress import IPv6Address, ip_address

from kaizen_security.client.descriptors import make_room
from kaizen_security.egress.dnswire import AAAA, A, question
from kaizen_security.egress.redirected import original
from kaizen_security.launch.names import Names
from kaizen_security.launch.proxy import ProxyAt

MOST = 2048
"""Connections at a time; further ones wait for one to end. Each takes two descriptors of the process that keeps the reports."""
_CHUNK = 65536
_HEAD = 16384
_PATIENCE = 30.0
"""Seconds that the proxy may take to answer a CONNECT."""
MOST_PACKETS = 4096
"""Different destinations of refused packets that are reported; further ones are only counted."""
_PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp", 136: "udplite"}

_ERRORS = {1: (3, 11, 12), 58: (1, 2, 3, 4)}
"""By protocol: ICMP types that report an error (RFC 792, RFC 4443)."""

Seen = Callable[[str, str, Mapping[str, str]], None]
"""``seen(kind, target, facts)``: something that the proxy will never hear of."""


class WayOut:
    """Serves until ``stop``, in a thread of its own. ``proxy``: the egress proxy."""

    def __init__(self, sockets: list[tuple[str, socket.socket]], *, proxy: ProxyAt, names: Names, seen: Seen) -> None:
        self._sockets = sockets
        self._proxy = proxy
        self._names = names
        self._seen = seen
        self._reported: set[tuple[str, str]] = set()
        self.counts: Counter[str] = Counter()
        """connections, refused connections, questions for names, refused packets: by what they are called."""
        self._loop = asyncio.new_event_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._most = max(1, make_room(2 * MOST) // 2)
        self._open = 0
        self._freed = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="way-out", daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """End every connection and the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5.0)

    def _run(self) -> None:
        loop = self._loop
        for role, sock in self._sockets:
            sock.setblocking(False)
            if role == "names":
                loop.add_reader(sock, self._asked, sock)
            elif role == "watch":
                loop.add_reader(sock, self._packet, sock)
            else:
                self._spawn(self._accept(role, sock))
        try:
            loop.run_forever()
            for task in list(self._tasks):
                task.cancel()
            loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        finally:
            loop.close()
            for _, sock in self._sockets:
                sock.close()

    def _spawn(self, work: asyncio._CoroutineLike[None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- connections --------------------------------------------------------------------------------------------------------

    async def _accept(self, role: str, listener: socket.socket) -> None:
        while True:
            if self._open >= self._most:
                self._freed.clear()
                await self._freed.wait()
                continue
            try:
                sock, _ = await self._loop.sock_accept(listener)
            except OSError:
                self.counts["accepts that failed"] += 1
                await asyncio.sleep(0.05)
                continue
            sock.setblocking(False)
            self._open += 1
            self._spawn(self._served(role, sock))

    async def _served(self, role: str, sock: socket.socket) -> None:
        try:
            await self._serve(role, sock)
        finally:
            self._open -= 1
            self._freed.set()

    async def _serve(self, role: str, sock: socket.socket) -> None:
        try:
            if role == "transparent":
                upstream = await self._through(sock)
            elif role == "proxy":
                upstream = await self._dial(self._proxy.place)
            else:
                upstream = await self._dial(("127.0.0.1", int(role.partition(":")[2])))
        except (OSError, TimeoutError):
            self.counts["connections refused"] += 1
            _reset(sock)
            return
        self.counts["connections"] += 1
        await self._both(sock, upstream)

    async def _through(self, sock: socket.socket) -> socket.socket:
        """A tunnel through the proxy to where ``sock`` wanted to go. Raises OSError, also when the proxy refuses it."""
        host, port = original(sock)
        host = self._names.name(host) or host
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        head = f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n{self._proxy.header}\r\n"
        upstream = await self._dial(self._proxy.place)
        try:
            await self._loop.sock_sendall(upstream, head.encode())
            answer = await asyncio.wait_for(self._head(upstream), _PATIENCE)
        except (OSError, TimeoutError):
            upstream.close()
            raise
        if answer.split(b" ", 2)[1:2] != [b"200"]:
            upstream.close()
            raise ConnectionRefusedError(f"the proxy refuses {place}")
        return upstream

    async def _head(self, sock: socket.socket) -> bytes:
        """The head of the proxy's answer, byte for byte no more: what follows it is the other side's."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            peeked = await self._peek(sock)
            end = peeked.find(b"\r\n\r\n") if head == b"" else -1
            take = end + 4 if end >= 0 else 1
            head += await self._loop.sock_recv(sock, take)
            if len(head) > _HEAD:
                raise ConnectionError("the proxy's answer has no end")
        return head

    async def _peek(self, sock: socket.socket) -> bytes:
        ready: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(sock, _settle, ready)
        try:
            await ready
        finally:
            self._loop.remove_reader(sock)
        data = sock.recv(4096, socket.MSG_PEEK)
        if not data:
            raise ConnectionError("the proxy closed the connection")
        return data

    async def _dial(self, place: tuple[str, int]) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            await self._loop.sock_connect(sock, place)
        except OSError:
            sock.close()
            raise
        return sock

    async def _both(self, one: socket.socket, other: socket.socket) -> None:
        up = self._loop.create_task(self._pump(one, other))
        down = self._loop.create_task(self._pump(other, one))
        try:
            await asyncio.gather(up, down)
        except OSError:
            _reset(one)
        finally:
            up.cancel()
            down.cancel()
            one.close()
            other.close()

    async def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        while data := await self._loop.sock_recv(source, _CHUNK):
            await self._loop.sock_sendall(sink, data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_WR)

    # --- names and packets --------------------------------------------------------------------------------------------------

    def _asked(self, sock: socket.socket) -> None:
        try:
            packet, peer = sock.recvfrom(4096)
            asked = question(packet)
        except (ValueError, OSError):
            self.counts["questions that are none"] += 1
            return
        self.counts["questions for names"] += 1
        new = not self._names.known(asked.name)
        reply = self._names.answer(packet, asked)
        if new or asked.kind not in (A, AAAA):
            self._report("dns", asked.name, {"transport": "udp", "query": str(asked.kind)})
        with suppress(OSError):
            sock.sendto(reply, peer)

    def _packet(self, sock: socket.socket) -> None:
        """A copy of a packet on ``lo``. What still goes to an address elsewhere was not redirected, and has just ended there."""
        try:
            data, about = sock.recvfrom(256)
        except OSError:
            return
        if about[2] != socket.PACKET_OUTGOING:  # each packet of lo is seen going and coming
            return
        found = destination(data)
        if found is None:
            return
        protocol, address, port = found
        if (protocol == "udp" and port == 53) or ip_address(address).is_loopback or ip_address(address).is_multicast:
            return
        self.counts["packets refused"] += 1
        host = f"[{address}]" if ":" in address else address
        self._report(
            "connect",
            f"{host}:{port}" if port else host,
            {"transport": "quic" if (protocol, port) == ("udp", 443) else protocol},
        )

    def _report(self, kind: str, target: str, facts: Mapping[str, str]) -> None:
        if (kind, target) in self._reported:
            return
        if len(self._reported) >= MOST_PACKETS:
            self.counts["not reported apart"] += 1
            return
        self._reported.add((kind, target))
        self._seen(kind, target, facts)


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def destination(packet: bytes) -> tuple[str, str, int] | None:
    """Protocol, address and port (0: none) of an IP packet; None for TCP after its first packet, errors, and what is no IP."""
    if len(packet) >= 20 and packet[0] >> 4 == 4:
        protocol, address, at = packet[9], socket.inet_ntoa(packet[16:20]), (packet[0] & 15) * 4
    elif len(packet) >= 40 and packet[0] >> 4 == 6:
        protocol, address, at = packet[6], str(IPv6Address(packet[24:40])), 40
    else:
        return None
    if protocol == socket.IPPROTO_TCP and (len(packet) < at + 14 or packet[at + 13] & 0x12 != 0x02):
        return None  # SYN without ACK is what asks for a connection
    if protocol in _ERRORS and len(packet) > at and packet[at] in _ERRORS[protocol]:
        return None  # the kernel's own word that a packet before was refused
    ports = protocol in (6, 17, 132, 136) and len(packet) >= at + 4
    port = struct.unpack_from("!H", packet, at + 2)[0] if ports else 0
    return _PROTOCOLS.get(protocol, f"ip-{protocol}"), address, port


def _reset(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()
