"""The world outside an agent, on addresses of 127.0.0.0/8: a resolver, and listeners that say what they heard."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import threading
from collections.abc import Iterator, Mapping

from tests.e2e.sidecar_process import until

RESOLVER = "127.0.0.9"


def question(name: str, kind: int = 1, more: bytes = b"") -> bytes:
    """A question as a stub resolver sends it."""
    labels = b"".join(bytes([len(one)]) + one.encode() for one in name.split("."))
    return struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1) + more


_LOCK = "\0kaizen-tests-kernel"
"""An abstract unix socket: like the ports, there is one of it in a network namespace, whoever asks and wherever its files are."""
_held: list[socket.socket] = []


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Addresses and ports here are the same in every test process: one process at a time has them."""
    if _held:
        yield
        return
    with socket.socket(socket.AF_UNIX) as lock:
        until(lambda: _bound(lock), "the ports of the test's world", 600.0)
        _held.append(lock)
        try:
            yield
        finally:
            _held.clear()


def _bound(lock: socket.socket) -> bool:
    try:
        lock.bind(_LOCK)
    except OSError:
        return False
    return True


@contextlib.contextmanager
def resolver(names: Mapping[str, str], address: str = RESOLVER) -> Iterator[list[str]]:
    """Answers for ``names`` at port 53 of ``address``; what it was asked, in order."""
    asked: list[str] = []
    with alone(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((address, 53))

        def serve() -> None:
            while True:
                packet, peer = sock.recvfrom(4096)
                if packet == b"end":
                    return
                at, labels = 12, []
                while packet[at]:
                    labels.append(packet[at + 1 : at + 1 + packet[at]].decode())
                    at += 1 + packet[at]
                name = ".".join(labels)
                asked.append(name)
                known = names.get(name.lower())
                answers = b""
                if known:
                    alias = b"\5alias\7example\0"
                    answers = struct.pack("!HHHIH", 0xC00C, 5, 1, 60, len(alias)) + alias
                    answers += alias + struct.pack("!HHIH", 1, 1, 60, 4) + socket.inet_aton(known)
                head = struct.pack("!HHHHH", 0x8180, 1, 2 if known else 0, 0, 0)
                sock.sendto(packet[:2] + head + packet[12 : at + 5] + answers, peer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield asked
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
                end.sendto(b"end", (address, 53))
            thread.join()


@contextlib.contextmanager
def listener(
    address: str, port: int = 0, kind: socket.SocketKind = socket.SOCK_STREAM
) -> Iterator[tuple[int, list[bytes]]]:
    """Listens at ``address``: the port, and the first bytes of each connection (or each datagram) that came.

    A connection is closed when its first bytes have come, and never before; of one that stayed silent to the end: ``(nothing)``.
    """
    with alone(), Listener(address, port, kind) as listening:
        yield listening.port, listening.heard


class Listener:
    """See ``listener``; any protocol that a socket of ``kind`` can have by default, or ``protocol``."""

    def __init__(self, address: str, port: int, kind: socket.SocketKind, protocol: int = 0) -> None:
        self.heard: list[bytes] = []
        self._sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind, protocol)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._sock.bind((address, port))
        self._stream = kind is socket.SOCK_STREAM
        if self._stream:
            self._sock.listen(64)
        self._sock.setblocking(False)
        self.port: int = self._sock.getsockname()[1]
        self._peers: list[socket.socket] = []
        self._stop, self._stopped = os.pipe()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Listener:
        self._thread.start()
        return self

    def _work(self) -> None:
        ready: list[object] = []
        while self._stop not in ready:
            ready, _, _ = select.select([self._stop, self._sock, *self._peers], [], [])
            # Whatever was sent before the end was said is here by now.
            self._take()

    def _take(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                if self._stream:
                    self._peers.append(self._sock.accept()[0])
                else:
                    self.heard.append(self._sock.recv(4096))
        for peer in list(self._peers):
            with contextlib.suppress(BlockingIOError):
                try:
                    self.heard.append(peer.recv(4096, socket.MSG_DONTWAIT))
                except ConnectionResetError:
                    self.heard.append(b"(nothing)")
                self._peers.remove(peer)
                peer.close()

    def __exit__(self, *err: object) -> None:
        os.write(self._stopped, b"x")
        self._thread.join()
        for peer in self._peers:
            self.heard.append(b"(nothing)")
            peer.close()
        for fd in (self._stop, self._stopped):
            os.close(fd)
        self._sock.close()
