"""Reach: the gateway's way to its servers: HTTP/1.1 on connections that are kept, replies as they arrive.

A request is sent once. A kept connection that its server has closed meanwhile is not used, but one that closes under a request is
not tried again: nobody knows whether the call was made. Redirects are not followed, and nothing is asked for in another coding.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Protocol
from urllib.parse import urlsplit

from kaizen_security.client import wire
from kaizen_security.contract.errors import Unreachable

CONNECT = 10.0
"""Seconds that a connection may take."""
AT_ONCE = 64 << 10
MAX_TRAILERS = 64
KEPT = 64
"""Connections that are kept for each server."""


class Returned(Protocol):
    """What a server answered, however it is reached: ``async for`` its ``pieces``, then ``close``."""

    @property
    def status(self) -> int:
        """The status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Names in lower case."""

    def pieces(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises Unreachable when it breaks off."""

    def close(self) -> None:
        """Let go."""


class Reply:
    """A reply whose body has not been read yet: ``async for`` its ``pieces``, then ``close``."""

    def __init__(
        self, pool: Pool, at: tuple[str, str, int], streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]
    ) -> None:
        self._pool, self._at = pool, at
        self._reader, self._writer = streams
        self._head = wire.Reply(limit=1 << 60)
        self._whole = False

    @property
    def status(self) -> int:
        """The status."""
        return self._head.status

    @property
    def headers(self) -> dict[str, str]:
        """Names in lower case."""
        return self._head.headers

    async def begin(self) -> None:
        """Read the head. Raises Unreachable."""
        try:
            while self._head.status < 200:
                self._head.feed(await self._reader.readuntil(b"\r\n\r\n"))
        except (OSError, EOFError, asyncio.LimitOverrunError, wire.Malformed) as err:
            self._writer.close()
            raise Unreachable(f"no reply: {type(err).__name__}") from err
        if self.headers.get("content-encoding", "identity").lower() != "identity":
            self._writer.close()
            raise Unreachable("the reply comes in a coding that nobody asked for")
        self._whole = self._head.done

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it arrives. Raises Unreachable when it breaks off."""
        try:
            if "transfer-encoding" in self.headers:
                async for piece in self._chunks():
                    yield piece
            elif "content-length" in self.headers:
                left = _size(self.headers["content-length"].encode(), 10)
                while left:
                    piece = await self._some(left)
                    left -= len(piece)
                    yield piece
            elif not self._whole:
                while piece := await self._reader.read(AT_ONCE):
                    yield piece
                return
        except (OSError, EOFError, ValueError, asyncio.LimitOverrunError) as err:
            raise Unreachable(f"the reply breaks off: {type(err).__name__}") from err
        self._whole = True

    async def _chunks(self) -> AsyncIterator[bytes]:
        while size := _size((await self._reader.readuntil(b"\r\n")).partition(b";")[0].strip(), 16):
            async for piece in self._counted(size):
                yield piece
            if await self._reader.readexactly(2) != b"\r\n":
                raise ValueError("a chunk is longer than it said")
        for _ in range(MAX_TRAILERS):
            if not (await self._reader.readuntil(b"\r\n")).strip():
                return
        raise ValueError("the reply's trailer does not end")

    async def _counted(self, left: int) -> AsyncIterator[bytes]:
        while left:
            piece = await self._some(left)
            left -= len(piece)
            yield piece

    async def _some(self, left: int) -> bytes:
        piece = await self._reader.read(min(left, AT_ONCE))
        if not piece:
            raise EOFError
        return piece

    def close(self) -> None:
        """Let go: the connection is kept if the reply was read to its end."""
        if self._whole and self._head.reusable and not self._writer.is_closing():
            self._pool.keep(self._at, (self._reader, self._writer))
        else:
            self._writer.close()


def _size(said: bytes, base: int) -> int:
    """A length as a server says it. Raises ValueError for anything but digits: ``int`` also takes signs, blanks and joints."""
    if not re.fullmatch(rb"[0-9]{1,18}" if base == 10 else rb"[0-9A-Fa-f]{1,15}", said):
        raise ValueError("a length is no number")
    return int(said, base)


class Pool:
    """Kept connections, by scheme, host and port."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str, int], list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]] = {}
        self._tls: ssl.SSLContext | None = None

    async def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Reply:
        """Send a request; the reply's head is read. Raises Unreachable, InvalidInput for a header that cannot be sent."""
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        data = wire.request(method, target, parts.netloc, headers, body)
        at = (parts.scheme, host, port)
        streams = self._idle(at) or await self._open(at)
        reply = Reply(self, at, streams)
        begun = False
        try:
            streams[1].write(data)
            await reply.begin()
            begun = True
        finally:
            if not begun:
                # Also when the client went away: the connection is in the middle of something.
                streams[1].close()
        return reply

    def _idle(self, at: tuple[str, str, int]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        kept = self._kept.get(at, [])
        while kept:
            reader, writer = kept.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        return None

    async def _open(self, at: tuple[str, str, int]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        scheme, host, port = at
        if scheme == "https" and self._tls is None:
            self._tls = ssl.create_default_context()
        try:
            async with asyncio.timeout(CONNECT):
                return await asyncio.open_connection(
                    host, port, ssl=self._tls if scheme == "https" else None, limit=wire.MAX_HEAD
                )
        except (OSError, TimeoutError) as err:
            raise Unreachable(f"no connection: {type(err).__name__}") from err

    def keep(self, at: tuple[str, str, int], streams: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> None:
        """A connection that may carry another request."""
        kept = self._kept.setdefault(at, [])
        if len(kept) < KEPT:
            kept.append(streams)
        else:
            streams[1].close()

    def close(self) -> None:
        """Close what is kept."""
        for kept in self._kept.values():
            for _, writer in kept:
                writer.close()
        self._kept.clear()
