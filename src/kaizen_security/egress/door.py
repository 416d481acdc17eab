"""Door: a listening socket in the loop, and how one is made."""

from __future__ import annotations

import errno
import socket
from collections import Counter
from collections.abc import Callable

from kaizen_security.contract.errors import Misconfigured
from kaizen_security.egress.loop import READ, Loop

BACKLOG = 1024
ACCEPTS = 32
"""Connections taken in one turn of the loop."""
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Door:
    """Takes connections while ``room()``: ``welcome(socket, address of the peer)`` for each, non-blocking."""

    def __init__(
        self,
        loop: Loop,
        listener: socket.socket,
        *,
        welcome: Callable[[socket.SocketType, str], None],
        room: Callable[[], int],
        counts: Counter[str],
    ) -> None:
        self._loop = loop
        self.listener = listener
        self._family = int(listener.family)
        self._welcome = welcome
        self._room = room
        self._counts = counts
        self.shut = True
        listener.setblocking(False)
        # Accepted sockets inherit it.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def open(self) -> None:
        """Take connections from now on."""
        if self.shut and self.listener.fileno() >= 0:
            self.shut = False
            self._loop.add(self.listener.fileno(), READ, self._accept)

    def look(self) -> None:
        """Open again where there is room by now."""
        if self.shut and self._room():
            self.open()

    def pause(self, why: str) -> None:
        """Take nobody new until ``open`` or ``look``; those who wait, wait in the kernel's queue."""
        self._counts[why] += 1
        self._leave()

    def _leave(self) -> None:
        if not self.shut:
            self.shut = True
            self._loop.remove(self.listener.fileno())

    def _accept(self, events: int) -> None:
        for _ in range(ACCEPTS):
            if not self._room():
                self.pause("connection limit")
                return
            try:
                # ``accept()`` would make a ``socket.socket`` around the same thing, for five times the price.
                fd, peer = self.listener._accept()  # type: ignore[attr-defined]
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as err:
                if err.errno in _EXHAUSTED:
                    self.pause("out of descriptors")
                return
            sock = socket.SocketType(self._family, socket.SOCK_STREAM, 0, fd)
            sock.setblocking(False)
            self._loop.guarded(fd, self._welcome, sock, peer[0])

    def broken(self, fd: int) -> None:
        """The loop has dropped ``fd`` after a mistake of ours: if it was this one, watch it again."""
        if fd == self.listener.fileno():
            self.shut = True
            self.open()

    def close(self) -> None:
        """Listen no more."""
        self._leave()
        self.listener.close()


def bound(host: str, port: int) -> socket.socket:
    """A listening TCP socket; ``::`` is both families. Raises Misconfigured."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=host == "::")
    except OSError as err:
        # create_server adds to the system's words in brackets what we say before them.
        said = str(err.strerror or err).partition(" (while")[0]
        raise Misconfigured(f"cannot listen on {host} port {port}: {said}") from err


def inherited(fd: int) -> socket.socket:
    """The listening TCP socket that a parent left open at ``fd``. Raises Misconfigured."""
    try:
        sock = socket.socket(fileno=fd)
        listens = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as err:
        raise Misconfigured(f"listen_fd: descriptor {fd} is no socket ({err.strerror})") from err
    if not listens or sock.type != socket.SOCK_STREAM or sock.family not in (socket.AF_INET, socket.AF_INET6):
        sock.detach()
        raise Misconfigured(f"listen_fd: descriptor {fd} is not a listening TCP socket")
    return sock
