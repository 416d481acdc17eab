"""Connections that were answered before their request was whole."""

from __future__ import annotations

import asyncio

import uvicorn

from kaizen_security.server import serve


async def _refused(scope, receive, send):
    """As for a key that is none: nobody reads the body."""
    await send({"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def _talk(path):
    config = uvicorn.Config(_refused, http=serve.Protocol, uds=str(path), lifespan="off", log_level="critical")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve())
    try:
        async with asyncio.timeout(20):
            while not server.started:
                await asyncio.sleep(0.005)
            reader, writer = await asyncio.open_unix_connection(str(path))
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 401")
            writer.write(b"x")
            rest = await reader.read()
            writer.close()
            return rest
    finally:
        server.should_exit = True
        await serving


def test_who_was_answered_does_not_keep_the_connection_by_a_body_that_nobody_reads(tmp_path, monkeypatch):
    monkeypatch.setattr(serve, "HEAD_DEADLINE", 0.05)
    assert asyncio.run(_talk(tmp_path / "s")) == b""
