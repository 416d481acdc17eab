"""Wire: a non-blocking socket with what still has to be sent on it and what it waits for."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from typing import ClassVar

from kaizen_security.egress.loop import CHUNK, READ, WRITE, Loop, Ready

_RESET = struct.pack("ii", 1, 0)


class Wire:
    """One end of a connection, owned by the loop's thread.

    ``out`` is what the kernel did not take yet: the reader of the other end is slow, so nothing more is read for it.
    """

    __slots__ = ("fd", "loop", "mask", "out", "sock")
    NOT_NOW: ClassVar[tuple[type[OSError], ...]] = (BlockingIOError, InterruptedError)
    """What the socket raises when it has nothing to give, or takes nothing."""

    def __init__(self, loop: Loop, sock: socket.SocketType) -> None:
        self.loop = loop
        self.sock = sock
        self.fd = sock.fileno()
        self.mask = 0
        self.out: bytes | memoryview = b""

    def wait(self, mask: int, ready: Ready) -> None:
        """``ready`` waits for ``mask`` (READ, WRITE, both or 0) from now on.

        0 takes the descriptor out of the poller, which would otherwise report a hang-up again and again.
        """
        if mask:
            if self.mask:
                self.loop.table[self.fd] = ready
                if mask != self.mask:
                    self.loop.change(self.fd, mask)
            else:
                self.loop.add(self.fd, mask, ready)
        elif self.mask:
            self.loop.remove(self.fd)
        self.mask = mask

    def recv(self) -> bytes | None:
        """What has arrived; ``b""`` at the end of the stream, None when nothing has. Raises OSError on a broken connection."""
        # Into one buffer of the loop's: to allocate 64 KB for each read costs as much as the read.
        buffer = self.loop.buffer
        try:
            return bytes(buffer[: self.sock.recv_into(buffer)])
        except self.NOT_NOW:
            return None

    def send(self, data: bytes | memoryview) -> bool:
        """Send ``data`` after what is still to be sent; True when the kernel took all. Raises OSError."""
        if self.out:
            self.out = b"".join((self.out, data))
            return False
        try:
            sent = self.sock.send(data)
        except self.NOT_NOW:
            sent = 0
        if sent == len(data):
            return True
        self.out = memoryview(data)[sent:]
        return False

    def flush(self) -> bool:
        """Send what is left; True when nothing is. Raises OSError."""
        if not self.out:
            return True
        data, self.out = self.out, b""
        return self.send(data)

    def finish(self) -> None:
        """Tell the other end that nothing more comes (FIN); it may still send."""
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def close(self, *, reset: bool = False) -> None:
        """Close; with ``reset`` so that the other end learns that the stream was cut (RST), not that it ended."""
        if self.mask:
            self.loop.drop(self.fd)
            self.mask = 0
        if reset:
            with suppress(OSError):
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.out = b""
        self.sock.close()


__all__ = ["CHUNK", "READ", "WRITE", "Wire"]
