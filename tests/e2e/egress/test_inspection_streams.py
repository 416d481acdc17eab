"""Streams within opened tunnels: what is cut is not taken for whole, slow readers cost no memory, garbage breaks nothing."""

from __future__ import annotations

import hashlib
import os
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.e2e.egress.peers import ControlPlane, Running, Script, read_all, read_head, running, until
from tests.e2e.egress.test_inspection import Opened, handshake, of_kind, request, rss

pytest.importorskip("cryptography")


@contextmanager
def behind(
    folder: Path, plane: ControlPlane, authority: object, act: Callable[[ssl.SSLSocket], None], **settings: object
) -> Iterator[tuple[Running, Opened]]:
    """An opening proxy before an origin in TLS that does ``act`` with each connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority[0].issue_cert("api.internal").configure_cert(context)  # type: ignore[index]

    def secured(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True, suppress_ragged_eofs=False) as tls:
            act(tls)

    origin = Script(secured)
    opened = Opened(folder, origin.port, authority)  # type: ignore[arg-type]
    try:
        with running(folder / "proxy", plane, **{**opened.settings(), **settings}) as proxy:
            yield proxy, opened
    finally:
        origin.stop()


def strict(proxy: Running, ca: Path) -> ssl.SSLSocket:
    """A client that tells a stream that ended from one that was cut."""
    raw, _ = proxy.tunnel("api.internal:443")
    context = ssl.create_default_context(cafile=str(ca))
    return context.wrap_socket(raw, server_hostname="api.internal", suppress_ragged_eofs=False)


def said(client: ssl.SSLSocket) -> tuple[bytes, bool]:
    """Everything up to the end, and whether that was said."""
    parts = b""
    try:
        while part := client.recv(65536):
            parts += part
    except (ssl.SSLError, ConnectionError):
        return parts, False
    return parts, True


def end(tls: ssl.SSLSocket) -> None:
    """Say the end in TLS."""
    with suppress(OSError):
        tls.unwrap()


def cut(tls: ssl.SSLSocket) -> None:
    """End without a word."""
    socket.socket.shutdown(tls, socket.SHUT_RDWR)


def reset(tls: ssl.SSLSocket) -> None:
    """Break the connection."""
    tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    tls.close()


@pytest.mark.parametrize(
    ("length", "ends", "whole"),
    [("", end, True), ("", cut, False), ("", reset, False), ("9", end, False), ("9", reset, False), ("5", cut, True)],
)
def test_a_cut_answer_is_not_taken_for_whole(
    tmp_path: Path, plane: ControlPlane, authority, length: str, ends, whole: bool
):
    def act(tls: ssl.SSLSocket) -> None:
        read_head(tls)
        field = f"Content-Length: {length}\r\n" if length else ""
        tls.sendall(f"HTTP/1.1 200 OK\r\n{field}\r\nhello".encode())
        ends(tls)

    with behind(tmp_path, plane, authority, act) as (proxy, opened), strict(proxy, opened.ca) as client:
        client.sendall(request("/", method="GET"))
        answer, ended = said(client)
        if whole:
            assert ended
            assert answer.endswith(b"hello")
        else:
            # A reset may overtake what came before it: then there is an answer of the proxy's own.
            assert not ended or answer.startswith(b"HTTP/1.1 502 ")


def test_who_reads_slowly_holds_nobodys_memory(tmp_path: Path, plane: ControlPlane, authority):
    data = os.urandom(1 << 20) * 24
    stalled = []

    def act(tls: ssl.SSLSocket) -> None:
        read_head(tls)
        tls.settimeout(60)
        tls.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(data)}\r\n\r\n".encode())
        for at in range(0, len(data), 1 << 16):
            tls.sendall(data[at : at + (1 << 16)])
            stalled.append(at)

    with behind(tmp_path, plane, authority, act) as (proxy, opened), handshake(proxy, opened.ca) as client:
        before = rss(proxy)
        client.sendall(request("/", method="GET"))
        read_head(client)
        client.settimeout(60)
        digest = hashlib.sha256()
        left = len(data)
        # Nothing is read until the origin has got as far as it can get: twice the same place is where it stands.
        seen = [-1]
        until(lambda: seen[-1] == len(stalled) > 0 or (seen.append(len(stalled)), False)[1], seconds=60)
        while left:
            part = client.recv(65536)
            digest.update(part)
            left -= len(part)
        assert digest.hexdigest() == hashlib.sha256(data).hexdigest()
        assert rss(proxy) - before < 12 << 10


def test_an_origin_that_reads_slowly_slows_its_client(tmp_path: Path, plane: ControlPlane, authority):
    data = os.urandom(1 << 20) * 24
    got = hashlib.sha256()

    def act(tls: ssl.SSLSocket) -> None:
        tls.settimeout(60)
        read_head(tls)
        left = len(data)
        while left:
            part = tls.recv(min(left, 4096))
            got.update(part)
            left -= len(part)
        tls.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with behind(tmp_path, plane, authority, act) as (proxy, opened), handshake(proxy, opened.ca) as client:
        client.settimeout(60)
        before = rss(proxy)
        client.sendall(request("/", f"Content-Length: {len(data)}"))
        client.sendall(data)
        assert read_head(client).startswith(b"HTTP/1.1 204 ")
        assert rss(proxy) - before < 12 << 10
    assert got.hexdigest() == hashlib.sha256(data).hexdigest()


def test_a_client_that_has_said_all_still_gets_its_answer(tmp_path: Path, plane: ControlPlane, authority):
    def act(tls: ssl.SSLSocket) -> None:
        read_head(tls)
        tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")

    with behind(tmp_path, plane, authority, act) as (proxy, opened), handshake(proxy, opened.ca) as client:
        client.sendall(request("/", method="GET"))
        socket.socket.shutdown(client, socket.SHUT_WR)
        assert read_all(client).endswith(b"hello")


def test_a_kept_connection_that_the_origin_has_closed_is_made_anew(tmp_path: Path, plane: ControlPlane, authority):
    def act(tls: ssl.SSLSocket) -> None:
        read_head(tls)
        tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")

    with behind(tmp_path, plane, authority, act) as (proxy, opened), handshake(proxy, opened.ca) as client:
        for number in range(4):
            client.sendall(f"GET /{number} HTTP/1.1\r\nHost: api.internal\r\n\r\n".encode())
            assert read_head(client).startswith(b"HTTP/1.1 200 ")
            assert client.recv(5) == b"hello"


GARBAGE = {
    "plain HTTP": b"GET / HTTP/1.1\r\nHost: api.internal\r\n\r\n",
    "a record of nothing": b"\x17\x03\x03\x00\x20" + bytes(32),
    "a record too long": b"\x17\x03\x03\xff\xff" + bytes(600),
    "an alert": b"\x15\x03\x03\x00\x02\x02\x28",
}


@pytest.mark.parametrize("early", [False, True])
def test_garbage_ends_its_own_tunnel_alone(tmp_path: Path, plane: ControlPlane, authority, early: bool):
    def act(tls: ssl.SSLSocket) -> None:
        with suppress(OSError):
            while read_head(tls):
                tls.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with behind(tmp_path, plane, authority, act) as (proxy, opened), handshake(proxy, opened.ca) as other:
        for garbage in GARBAGE.values():
            if early:
                client, _ = proxy.tunnel("api.internal:443")
                # A hello that can be read, and then something else where the handshake should go on.
                client.sendall(hello_of("api.internal") + garbage)
            else:
                secured = handshake(proxy, opened.ca)
                client = socket.socket(fileno=secured.detach())
                client.settimeout(30)
                client.sendall(garbage)
            with client, suppress(ConnectionError):
                read_all(client)
        other.sendall(b"GET / HTTP/1.1\r\nHost: api.internal\r\n\r\n")
        assert read_head(other).startswith(b"HTTP/1.1 204 ")
        until(lambda: proxy.health()["connections"] == 2)
        assert not proxy.health()["counts"].get("internal errors")  # type: ignore[attr-defined]


def hello_of(name: str) -> bytes:
    """A real ClientHello."""
    outgoing = ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def test_a_hello_in_many_pieces_and_right_behind_the_connect_is_opened(tmp_path: Path, plane: ControlPlane, authority):
    def act(tls: ssl.SSLSocket) -> None:
        read_head(tls)
        tls.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with behind(tmp_path, plane, authority, act) as (proxy, opened):
        for eager in (True, False):
            raw = proxy.connect()
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            context = ssl.create_default_context(cafile=str(opened.ca))
            tls = context.wrap_bio(incoming, outgoing, server_hostname="api.internal")
            with suppress(ssl.SSLWantReadError):
                tls.do_handshake()
            first = outgoing.read()
            head = b"CONNECT api.internal:443 HTTP/1.1\r\nHost: api.internal:443\r\n\r\n"
            raw.sendall(head + first if eager else head)
            assert read_head(raw).startswith(b"HTTP/1.1 200 ")
            for at in range(0, 0 if eager else len(first), 100):
                raw.sendall(first[at : at + 100])
            while True:
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    incoming.write(raw.recv(65536))
            tls.write(request("/", method="GET"))
            raw.sendall(outgoing.read())
            while True:
                incoming.write(raw.recv(65536))
                try:
                    assert tls.read(100).startswith(b"HTTP/1.1 204 ")
                    break
                except ssl.SSLWantReadError:
                    pass
            raw.close()


def test_the_kill_switch_ends_an_opened_tunnel(tmp_path: Path, plane: ControlPlane, authority):
    def act(tls: ssl.SSLSocket) -> None:
        with suppress(OSError):
            read_head(tls)

    switch = tmp_path / "stop"
    with behind(tmp_path, plane, authority, act, kill_switch=str(switch)) as (proxy, opened):
        with handshake(proxy, opened.ca) as client:
            switch.touch()
            client.settimeout(30)
            with suppress(ConnectionError, ssl.SSLError):
                assert not client.recv(1)
            until(lambda: [a for a in plane.actions("api.internal:443") if a["metadata"].get("ended") == "killed"])
            assert not of_kind(plane, "client does not trust")
        switch.unlink()
