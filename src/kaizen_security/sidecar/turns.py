"""Turns on the event loop."""

from __future__ import annotations

import asyncio


class Turns:
    """Lets others have their turn within a long list of actions: a list must not cost them more than one of its entries."""

    LONGEST = 0.005
    """Seconds of one turn."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()

    async def pause(self) -> None:
        """Call after each entry."""
        if self._loop.time() - self._began >= self.LONGEST:
            await asyncio.sleep(0)
            self._began = self._loop.time()
