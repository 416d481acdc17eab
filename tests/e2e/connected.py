"""Connections seen from a client."""

from __future__ import annotations

import socket


def is_open(connection: socket.socket) -> bool:
    """Whether the other side, which has said nothing, has not closed it yet."""
    connection.setblocking(False)
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
