"""The gateway's way to its servers: replies in every framing, kept connections, and what breaks off."""

from __future__ import annotations

import asyncio

import pytest

from kaizen_security.contract.errors import InvalidInput, Unreachable
from kaizen_security.mcp.reach import Pool

OK = b"HTTP/1.1 200 OK\r\n"


def talk(replies, *, asks=1, close=False):
    """Ask a server that gives these replies, one for each request; bodies (or the error) and how many connections it took."""

    async def go():
        connections, left, heard = 0, list(replies), []

        async def serve(reader, writer):
            nonlocal connections
            connections += 1
            while left:
                try:
                    head = await reader.readuntil(b"\r\n\r\n")
                except asyncio.IncompleteReadError:
                    break
                heard.append(head)
                for part in left.pop(0):
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0)
                if close:
                    break
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        pool, bodies = Pool(), []
        for _ in range(asks):
            try:
                reply = await pool.send("POST", f"http://127.0.0.1:{port}/mcp?x=1", {"a": "b"}, b"")
                try:
                    bodies.append((reply.status, b"".join([piece async for piece in reply.pieces()])))
                finally:
                    reply.close()
            except Unreachable as err:
                bodies.append(str(err))
            await asyncio.sleep(0.02)
        pool.close()
        server.close()
        await server.wait_closed()
        assert all(head.startswith(b"POST /mcp?x=1 HTTP/1.1\r\n") for head in heard)
        return bodies, connections

    return asyncio.run(go())


CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;ext=1\r\n!\r\n0\r\nTrailer: x\r\n\r\n"


@pytest.mark.parametrize(
    "reply",
    [
        [OK + b"Content-Length: 6\r\n\r\nhello!"],
        [OK + b"Content-Length: 6\r\n\r\nhe", b"llo!"],
        [CHUNKED[i : i + 1] for i in range(len(CHUNKED))],
        [b"HTTP/1.1 102 Processing\r\n\r\n", OK + b"Content-Length: 6\r\n\r\nhello!"],
    ],
)
def test_a_reply_is_read_in_every_framing_and_its_connection_kept(reply):
    assert talk([reply, reply], asks=2) == ([(200, b"hello!")] * 2, 1)


def test_a_reply_without_a_length_ends_with_its_connection():
    assert talk([[OK + b"\r\nhello!"]], close=True) == ([(200, b"hello!")], 1)


def test_a_kept_connection_that_the_server_closed_is_not_used():
    reply = [OK + b"Content-Length: 2\r\n\r\nok"]
    assert talk([reply, reply], asks=2, close=True) == ([(200, b"ok")] * 2, 2)


@pytest.mark.parametrize(
    "reply",
    [
        [],
        [b"nonsense\r\n\r\n"],
        [OK + b"Content-Length: 6\r\n\r\nhell"],
        [OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel"],
        [OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"],
        [OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n"],
        [OK + b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n"],
        [OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n"],
        [OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"x: y\r\n" * 100 + b"\r\n"],
        [OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"5" * 70_000 + b"\r\n"],
        [OK + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n"],
        [OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx"],
        [OK + b"X: " + b"y" * 70_000 + b"\r\n\r\n"],
    ],
)
def test_a_reply_that_breaks_off_or_is_none_is_an_error_and_is_not_asked_for_again(reply):
    [said], connections = talk([reply], close=True)
    assert isinstance(said, str)
    assert connections == 1


def test_nobody_there_and_headers_that_would_end_early():
    async def go(headers):
        await Pool().send("POST", "http://127.0.0.1:9/", headers, b"")

    with pytest.raises(Unreachable, match="no connection"):
        asyncio.run(go({}))
    with pytest.raises(InvalidInput):
        asyncio.run(go({"a": "b\r\nc: d"}))
