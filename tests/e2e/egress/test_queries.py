"""The DNS sidecar under queries without end: none goes too deep, and its door opens again."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kaizen_security.egress import nameserver
from kaizen_security.egress.config import from_values
from kaizen_security.egress.proxy import Proxy
from tests.e2e.egress.peers import DEADLINE, until
from tests.ports import free_port

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


def test_another_port_is_taken_when_somebody_has_the_first_over_one_of_the_two_protocols(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    taken = list[socket.socket]()

    def first_port_is_taken(address: tuple[str, int], **how: Any) -> socket.socket:
        """The real thing, and the first time somebody else has its port over UDP."""
        listener = create_server(address, **how)
        if not taken:
            taken.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            taken[0].bind(listener.getsockname())
        return listener

    create_server = socket.create_server
    monkeypatch.setattr(nameserver.socket, "create_server", first_port_is_taken)
    try:
        with stopped(tmp_path) as (_, address), socket.create_connection(address, timeout=DEADLINE) as client:
            client.sendall(query(7))
            assert reply(client) == (7, NXDOMAIN)
            assert address != taken[0].getsockname()
    finally:
        for one in taken:
            one.close()


def test_a_port_that_was_asked_for_and_is_taken_is_an_error_that_leaves_nothing_open(tmp_path: Path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", free_port()))
        port = other.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            nameserver._sockets(socket.AF_INET, "127.0.0.1", port)
        socket.create_server(("127.0.0.1", port)).close()


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
