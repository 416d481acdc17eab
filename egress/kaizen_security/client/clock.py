"""Where the client takes wall time and chance; everything else of it is given them."""

from __future__ import annotations

import os
import time
from itertools import count

now = time.time
"""Unix seconds. The function itself: every call of a tool asks twice."""


class Ids:
    """Ids of 128 bits as hex: 96 random ones for the process, then a counter. A random number each would cost a system call."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin again with another prefix: what a forked child must do."""
        self._prefix = os.urandom(12).hex()
        self._count = count()

    def new(self) -> str:
        """The next id."""
        return f"{self._prefix}{next(self._count) & 0xFFFFFFFF:08x}"
