"""Live rows for whoever watches: a broadcaster whose memory is bounded, whatever its readers do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

from kaizen_security.store.base import VerdictRow

QUEUE = 1000
"""Rows that one reader may be behind; of a reader that is further behind, the oldest are dropped and counted."""
READERS = 200
"""Readers at a time."""


class Subscription:
    """One reader's view of one organisation: iterate over it. ``dropped`` counts what it was too slow for."""

    def __init__(self, organisation: int, session: str = "") -> None:
        self.organisation = organisation
        self.session = session
        self.dropped = 0
        self._rows: asyncio.Queue[VerdictRow | None] = asyncio.Queue(QUEUE)

    def offer(self, row: VerdictRow | None) -> None:
        """Take ``row``, at the cost of the oldest when there is no room; None ends the iteration."""
        if self._rows.full():
            self._rows.get_nowait()
            self.dropped += 1
        self._rows.put_nowait(row)

    async def next(self, *, within: float) -> VerdictRow | None:
        """The next row; None at the end. Raises TimeoutError after ``within`` seconds (time for a comment that keeps it open)."""
        async with asyncio.timeout(within):
            return await self._rows.get()

    def drain(self) -> bool:
        """Throw away what waits; False when the end was among it."""
        going = True
        while not self._rows.empty():
            going = self._rows.get_nowait() is not None and going
        return going

    async def __aiter__(self) -> AsyncIterator[VerdictRow]:
        while (row := await self._rows.get()) is not None:
            yield row


class Live:
    """Gives every committed row to the subscriptions of its organisation. For the event loop's thread only."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()
        self.dropped = 0

    @property
    def readers(self) -> int:
        """Subscriptions there are."""
        return len(self._subscriptions)

    def watched(self, organisation: int) -> bool:
        """Whether anybody reads; building rows for nobody can be left out."""
        return any(reader.organisation == organisation for reader in self._subscriptions)

    def publish(self, rows: Sequence[VerdictRow]) -> None:
        """Offer rows that have been committed."""
        for reader in self._subscriptions:
            for row in rows:
                if row.organisation == reader.organisation:
                    reader.offer(row)

    @contextmanager
    def subscribe(self, organisation: int, session: str = "") -> Iterator[Subscription | None]:
        """A subscription for as long as the block lasts; None when there are as many readers as there may be.

        ``session``: the hash of the session on whose behalf it is, so that it ends with it.
        """
        if len(self._subscriptions) >= READERS:
            yield None
            return
        subscription = Subscription(organisation, session)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
            self.dropped += subscription.dropped

    def end(self, session: str) -> None:
        """End the subscriptions of a session that is over."""
        for reader in self._subscriptions:
            if session and reader.session == session:
                reader.offer(None)

    def close(self) -> None:
        """End every subscription: the server is stopping."""
        for reader in self._subscriptions:
            reader.offer(None)
