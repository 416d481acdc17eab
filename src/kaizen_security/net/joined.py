"""Joined: the head of an answer goes out with what follows it at once.

uvicorn writes head and body one after the other, and a loop that writes at once makes two packets of them: two system calls here,
and a client that is woken for a head alone.
"""

from __future__ import annotations

import asyncio
from typing import Any

MOST = 64 << 10
"""Bytes that are put together with a head; to copy more costs more than another write."""


class Joined:
    """A transport that holds back a head until the next write, at the longest until ``loop`` has gone round.

    In all else it is ``transport``.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._head = b""

    def __getattr__(self, name: str) -> Any:  # whatever the transport has
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send it, after a head that was held back; or hold it back."""
        if self._head and len(data) <= MOST:
            data, self._head = self._head + data, b""
        elif self._head:
            self._send()
        elif data.startswith(b"HTTP/1.1 ") and data.endswith(b"\r\n\r\n"):
            self._head = data
            self._loop.call_soon(self._send)
            return
        self._transport.write(data)

    def _send(self) -> None:
        head, self._head = self._head, b""
        if head and not self._transport.is_closing():
            self._transport.write(head)

    def close(self) -> None:
        """Send what was held back, and close."""
        self._send()
        self._transport.close()
