"""The DNS sidecar under queries without end: none goes too deep, and its door opens again."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kaizen_security.egress import nameserver
from kaizen_security.egress.config import from_values
from kaizen_security.egress.proxy import Proxy
from tests.e2e.egress.peers import DEADLINE, until

NXDOMAIN = 3


def query(number: int, name: str = "a.example") -> bytes:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    message = struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!2H", 1, 1)
    return struct.pack("!H", len(message)) + message


def reply(client: socket.socket) -> tuple[int, int]:
    """The id and the status of the next one."""
    data = b""
    while len(data) < 2 or len(data) < 2 + struct.unpack_from("!H", data)[0]:
        data += client.recv(2 - len(data) if len(data) < 2 else 2 + struct.unpack_from("!H", data)[0] - len(data))
    number, flags = struct.unpack_from("!2H", data, 2)
    return number, flags & 15


@contextmanager
def stopped(tmp_path: Path) -> Iterator[tuple[Proxy, tuple[str, int]]]:
    """A proxy whose kill switch is on: it refuses every name."""
    (tmp_path / "kill-switch").touch()
    upstream = "http://127.0.0.1:1"
    values = {"port": 0, "dns_port": 0, "dns_upstream": "127.0.0.1:1", "data": str(tmp_path), "api_url": upstream}
    proxy = Proxy(from_values(values))
    proxy.start()
    assert proxy.nameserver is not None
    address = proxy.nameserver.address
    thread = threading.Thread(target=proxy.run)
    thread.start()
    try:
        yield proxy, address
    finally:
        proxy.stop()
        thread.join(DEADLINE)


def test_a_thousand_queries_that_are_refused_at_once_are_answered_in_order(tmp_path: Path):
    with stopped(tmp_path) as (proxy, address), socket.create_connection(address, timeout=DEADLINE) as client:
        sender = threading.Thread(target=client.sendall, args=(b"".join(map(query, range(3000))),))
        sender.start()
        assert [reply(client) for _ in range(3000)] == [(n, NXDOMAIN) for n in range(3000)]
        sender.join()
        assert proxy.counts["internal errors"] == 0


def test_its_door_opens_again_when_there_is_room_though_nobody_uses_the_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(nameserver, "MAX_WAITING", 2)
    with stopped(tmp_path) as (proxy, address):
        first, second, third = (socket.create_connection(address, timeout=DEADLINE) for _ in range(3))
        until(lambda: proxy.counts["connection limit"])
        first.close()
        second.close()
        third.sendall(query(7))
        assert reply(third) == (7, NXDOMAIN)
        third.close()
