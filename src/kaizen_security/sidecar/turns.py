"""Turns on the event loop."""

from __future__ import annotations

import asyncio
from time import monotonic


class Turns:
    """Lets others have their turn within a long list of actions: a list must not cost them more than one of its entries."""

    LONGEST = 0.001
    """Seconds of one turn: as much as a verdict takes, for which others wait."""

    def __init__(self) -> None:
        self._began = monotonic()

    async def pause(self) -> None:
        """Call after each entry."""
        # Not the loop's own clock: the faster kind's counts whole milliseconds.
        if monotonic() - self._began >= self.LONGEST:
            await asyncio.sleep(0)
            self._began = monotonic()
