"""Where the proxy takes wall time and chance; everything else of it is given them."""

from __future__ import annotations

import secrets
import time
from itertools import count


def now() -> float:
    """Unix seconds."""
    return time.time()


class Ids:
    """Ids of 128 bits as hex: 96 random ones for the process, then a counter. A random number each would cost a system call."""

    def __init__(self) -> None:
        self._prefix = secrets.token_hex(12)
        self._count = count()

    def new(self) -> str:
        """The next id."""
        return "%s%08x" % (self._prefix, next(self._count))  # noqa: UP031 - half the time of a format
