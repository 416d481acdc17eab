"""Connections: one peer does not keep the others out, nor one that was answered before its request was whole."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass

import uvicorn

from kaizen_security.net.inbound import FULL, LATE, SILENT, is_over_its_share, turned_away
from kaizen_security.server import serve


async def _refused(scope, receive, send):
    """As for a key that is none: nobody reads the body."""
    await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def _merged(path):
    """Of each request in turn, whether its connection still waits for a head while it is answered."""
    waits, connections = [], []

    class Kept(serve.Protocol):
        def connection_made(self, transport):
            super().connection_made(transport)
            connections.append(self)

    async def app(scope, receive, send):
        waits.append(connections[0]._timer is not None)
        await _refused(scope, receive, send)

    async with _serving(app, path, Kept) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n{")
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"xxxGET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
    return waits


async def _talk(path):
    async with _serving(_refused, path) as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 401")
        writer.write(b"x")
        return await reader.read()


@asynccontextmanager
async def _serving(app, path, protocol=serve.Protocol):
    config = uvicorn.Config(app, http=protocol, uds=str(path), lifespan="off", log_level="critical")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve())
    try:
        async with asyncio.timeout(20):
            while not server.started:
                await asyncio.sleep(0.005)
            reader, writer = await asyncio.open_unix_connection(str(path))
            yield reader, writer
            writer.close()
    finally:
        server.should_exit = True
        await serving


def test_who_was_answered_does_not_keep_the_connection_by_a_body_that_nobody_reads(tmp_path, monkeypatch):
    monkeypatch.setattr(serve.Protocol, "head_deadline", 0.05)
    before = Counter(turned_away)
    assert asyncio.run(_talk(tmp_path / "s")) == b""
    assert turned_away - before == {LATE: 1}


def test_a_head_that_came_in_one_piece_with_the_rest_of_such_a_body_has_its_time_to_be_answered(tmp_path):
    assert asyncio.run(_merged(tmp_path / "s")) == [False, False]


async def _crowded(path):
    """What the first of two silent connections hears, and a third one that speaks, where there is room for two."""

    class Two(serve.Protocol):
        most = 2

    async with _serving(_refused, path, Two) as (first, _):
        beside, second = await asyncio.open_unix_connection(str(path))
        reader, third = await asyncio.open_unix_connection(str(path))
        third.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        heard = await reader.readuntil(b"\r\n\r\n")
        silent = await first.read()
        assert not beside.at_eof()
        third.close()
        second.close()
        return silent, heard


def test_of_silent_connections_the_oldest_goes_when_there_is_no_room_and_who_speaks_is_heard(tmp_path):
    before = Counter(turned_away)
    silent, heard = asyncio.run(_crowded(tmp_path / "s"))
    assert turned_away - before == {SILENT: 1}
    assert silent == b""
    assert heard.startswith(b"HTTP/1.1 401")


async def _busy(path):
    """What one hears that comes while all places are taken by requests that are answered."""
    there, going = asyncio.Event(), asyncio.Event()

    class One(serve.Protocol):
        most = 1

    async def app(scope, receive, send):
        there.set()
        await going.wait()
        await _refused(scope, receive, send)

    async with _serving(app, path, One) as (first, speaks):
        speaks.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(20):
            await there.wait()
            reader, writer = await asyncio.open_unix_connection(str(path))
            refused = await reader.read()
            writer.close()
            going.set()
            return refused, await first.readuntil(b"\r\n\r\n")


def test_whose_request_is_being_answered_is_never_let_go(tmp_path):
    before = Counter(turned_away)
    refused, answered = asyncio.run(_busy(tmp_path / "s"))
    assert turned_away - before == {FULL: 1}
    assert refused.startswith(b"HTTP/1.1 503")
    assert answered.startswith(b"HTTP/1.1 401")


@dataclass(eq=False)
class Connection:
    """What is looked at of uvicorn's."""

    connections: set[object]
    client: tuple[str, int] | None


def test_one_peer_that_opens_all_connections_leaves_places_for_others():
    connections = set()

    def opens(address, most=200):
        one = Connection(connections, None if address is None else (address, 1))
        connections.add(one)
        if len(connections) > most or is_over_its_share(one, most):
            connections.discard(one)
            return False
        return True

    greedy = sum(opens("10.0.0.1") for _ in range(400))
    assert 0.9 * 200 < greedy < 200
    assert not opens("10.0.0.1")
    assert opens("10.0.0.2")
    assert opens("2001:db8::1")
    assert opens(None), "the Unix socket is its user's alone"
    for one in list(connections)[:50]:
        connections.discard(one)
    assert opens("10.0.0.1")
