"""Connections on which no request comes."""

from __future__ import annotations

import asyncio

import pytest
import uvicorn

from kaizen_security.sidecar.connections import Protocol


class Hasty(Protocol):
    """A deadline that a test can wait for."""

    head_deadline = 0.05


async def _answer(scope, receive, send):
    await receive()
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def _exchange(path, *pieces):
    """What comes back, up to the end of the connection, when ``pieces`` are sent one by one, each after an answer to the last."""
    server = uvicorn.Server(uvicorn.Config(_answer, http=Hasty, uds=str(path), lifespan="off", log_level="critical"))
    serving = asyncio.create_task(server._serve())
    try:
        async with asyncio.timeout(20):
            while not server.started:
                await asyncio.sleep(0.005)
            reader, writer = await asyncio.open_unix_connection(str(path))
            for n, piece in enumerate(pieces):
                writer.write(piece)
                if n < len(pieces) - 1:
                    await reader.readuntil(b"\r\n\r\n")
            rest = await reader.read()
            writer.close()
            return rest
    finally:
        server.should_exit = True
        await serving


WHOLE = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("pieces", [(b"",), (b"GET / HT",), (WHOLE, b"GET / HT")])
def test_a_head_that_does_not_come_ends_the_connection(tmp_path, pieces):
    assert asyncio.run(_exchange(tmp_path / "s", *pieces)) == b""


def test_a_whole_head_is_answered_and_its_deadline_is_over(tmp_path):
    closing = WHOLE.replace(b"Host: x", b"Host: x\r\nConnection: close")
    assert asyncio.run(_exchange(tmp_path / "s", WHOLE, closing)).startswith(b"HTTP/1.1 204")
