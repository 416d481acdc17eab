"""What a copy of a packet tells of its destination, and how many connections there are at a time."""

from __future__ import annotations

import socket
import struct
import threading
from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from kaizen_security.launch import wayout
from kaizen_security.launch.names import Names
from kaizen_security.launch.proxy import ProxyAt
from kaizen_security.launch.wayout import WayOut, destination


def ip4(protocol: int, address: str, rest: bytes) -> bytes:
    return (
        struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20, 0, 0, 64, protocol, 0, b"\1\1\1\1", ip_address(address).packed) + rest
    )


def ip6(protocol: int, address: str, rest: bytes) -> bytes:
    return struct.pack("!IHBB16s16s", 6 << 28, 0, protocol, 64, bytes(16), ip_address(address).packed) + rest


def tcp(port: int, flags: int) -> bytes:
    return struct.pack("!HHIIBBHHH", 1, port, 0, 0, 0x50, flags, 0, 0, 0)


def test_udp_and_quic_with_their_port():
    assert destination(ip4(17, "9.9.9.9", struct.pack("!HHHH", 1, 443, 8, 0))) == ("udp", "9.9.9.9", 443)
    assert destination(ip6(17, "2001:db8::1", struct.pack("!HHHH", 1, 53, 8, 0))) == ("udp", "2001:db8::1", 53)


def test_only_the_packet_that_asks_for_a_connection_counts_of_tcp():
    assert destination(ip4(6, "9.9.9.9", tcp(80, 0x02))) == ("tcp", "9.9.9.9", 80)
    assert destination(ip4(6, "9.9.9.9", tcp(80, 0x12))) is None
    assert destination(ip4(6, "9.9.9.9", tcp(80, 0x10))) is None


def test_a_protocol_without_ports_has_none():
    assert destination(ip4(1, "9.9.9.9", b"\x08\0\0\0")) == ("icmp", "9.9.9.9", 0)
    assert destination(ip4(99, "9.9.9.9", b"")) == ("ip-99", "9.9.9.9", 0)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_destination_or_nothing(data: bytes):
    found = destination(data)
    assert found is None or 0 <= found[2] <= 65535


def test_connections_beyond_what_there_is_room_for_wait_for_one_to_end(monkeypatch):
    monkeypatch.setattr(wayout, "MOST", 1)
    upstream, inside = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
    heard: list[bytes] = []

    def echo() -> None:
        for _ in range(2):
            sock, _ = upstream.accept()
            with sock:
                while data := sock.recv(64):
                    heard.append(data)
                    sock.sendall(data)

    def said(sock: socket.socket, data: bytes) -> bytes:
        sock.sendall(data)
        return sock.recv(64)

    server = threading.Thread(target=echo)
    server.start()
    place, role = inside.getsockname(), f"local:{upstream.getsockname()[1]}"
    out = WayOut([(role, inside)], proxy=ProxyAt(host="127.0.0.1", port=1), names=Names(), seen=lambda *words: None)
    out.start()
    with socket.create_connection(place, timeout=20) as first, socket.create_connection(place, timeout=20) as second:
        assert said(first, b"one") == b"one"
        second.sendall(b"two")
        for _ in range(20):
            assert said(first, b"again") == b"again"
        assert out.counts["connections"] == 1
        first.close()
        assert second.recv(64) == b"two"
    out.stop()
    server.join(20)
    upstream.close()
    assert heard == [b"one", *[b"again"] * 20, b"two"]
