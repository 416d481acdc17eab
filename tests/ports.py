"""Ports for servers that have to be told theirs before they start, and ports at which nobody shall listen."""

from __future__ import annotations

import random
import socket

FIRST, LAST = 16_000, 32_000
"""Below the ports that Linux gives to whoever asks for any: between our look and the server's start no other program gets it so."""


def free_port() -> int:
    """A port that nobody uses, over TCP and UDP."""
    for port in random.SystemRandom().sample(range(FIRST, LAST), 100):
        with socket.socket() as stream, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
            try:
                stream.bind(("127.0.0.1", port))
                datagram.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("a hundred ports are all taken")
