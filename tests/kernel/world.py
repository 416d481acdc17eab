"""The world outside an agent, on addresses of 127.0.0.0/8: a resolver, and listeners that say what they heard."""

from __future__ import annotations

import contextlib
import fcntl
import socket
import struct
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

RESOLVER = "127.0.0.9"


def question(name: str, kind: int = 1, more: bytes = b"") -> bytes:
    """A question as a stub resolver sends it."""
    labels = b"".join(bytes([len(one)]) + one.encode() for one in name.split("."))
    return struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1) + more


_LOCK = Path(tempfile.gettempdir()) / "kaizen-tests-kernel.lock"
_holding = 0


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Addresses and ports here are the same in every test process: one process at a time has them."""
    global _holding  # noqa: PLW0603 - a process has one lock
    with _LOCK.open("w") as file:
        if not _holding:
            fcntl.flock(file, fcntl.LOCK_EX)
        _holding += 1
        try:
            yield
        finally:
            _holding -= 1


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
    """Listens at ``address``: the port, and the first bytes of each connection (or each datagram) that came."""
    heard: list[bytes] = []
    with alone(), _listening(address, port, kind, heard) as bound:
        yield bound, heard


@contextlib.contextmanager
def _listening(address: str, port: int, kind: socket.SocketKind, heard: list[bytes]) -> Iterator[int]:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((address, port))
    if kind is socket.SOCK_STREAM:
        sock.listen(64)

    def serve() -> None:
        while True:
            try:
                if kind is socket.SOCK_DGRAM:
                    data = sock.recv(4096)
                else:
                    with sock.accept()[0] as peer:
                        peer.settimeout(3)
                        try:
                            data = peer.recv(4096)
                        except TimeoutError:
                            data = b"(nothing)"
            except OSError:
                return
            if data == b"end":
                return
            heard.append(data)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield sock.getsockname()[1]
    finally:
        with socket.socket(sock.family, kind) as end:
            end.connect(sock.getsockname()[:2])
            end.send(b"end")
        thread.join()
        sock.close()
