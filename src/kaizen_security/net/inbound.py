"""Inbound: connections of our own HTTP servers, which anybody may open before saying who they are.

A head that does not come ends its connection, and there are only so many at a time: else whoever opens a thousand and says nothing
would keep everybody else out for as long as he likes. Where a peer has all that it may have, that one of its connections goes which
has been silent longest, not the one that comes: who has something to say says it at once, and on one machine all have one address.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from itertools import count
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from kaizen_security.contract.shares import SHARE, peer

HEAD_DEADLINE = 10.0
"""Seconds in which the head of a request must have come, from the connection or from its first byte on."""
CONNECTIONS = 512
"""Connections at a time."""
FULL, SILENT, LATE = "no_room", "silent_longest", "no_head_in_time"
turned_away: Counter[str] = Counter({FULL: 0, SILENT: 0, LATE: 0})
"""Connections of this process that were ended before they had said anything, by reason, since its start."""
_TURNS = count()
"""Who began to wait before whom: within one turn of the loop its clock does not tell."""


class Arrival:
    """What every connection has. ``head_deadline`` in seconds; ``most`` connections at a time, itself among ``connections``."""

    head_deadline = HEAD_DEADLINE
    most = CONNECTIONS
    loop: asyncio.AbstractEventLoop
    transport: Any
    connections: set[Any]
    client: tuple[str, int] | None
    _timer: asyncio.TimerHandle | None = None
    _turn = 0

    def finds_room(self) -> bool:
        """Whether there is room for it; then it has its time from now on."""
        if self.is_one_too_many() and not self._takes_the_place_of_one():
            turned_away[FULL] += 1
            return False
        self.wait_for_head()
        return True

    def is_one_too_many(self) -> bool:
        """Whether this one is over the bound."""
        return len(self.connections) > self.most or is_over_its_share(self, self.most)

    def _takes_the_place_of_one(self) -> bool:
        """Close that one of its peer's which has waited longest for its head; whether any waits for one."""
        here = _peer(self)
        waiting = [
            one
            for one in self.connections
            if isinstance(one, Arrival) and one._timer is not None and _peer(one) == here
        ]
        if not waiting:
            return False
        oldest = min(waiting, key=lambda one: one._turn)
        oldest.stop_waiting()
        turned_away[SILENT] += 1
        oldest.put_out()
        return True

    def wait_for_head(self) -> None:
        """It has its time from now on."""
        self.stop_waiting()
        self._timer = self.loop.call_later(self.head_deadline, self._late)
        self._turn = next(_TURNS)

    def stop_waiting(self) -> None:
        """It said what it was waited for."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        turned_away[LATE] += 1
        self.put_out()

    def put_out(self) -> None:
        """It has had its time, or somebody else needs the place."""
        self.transport.abort()  # to close TLS waits half a minute for the other end


class Protocol(Arrival, HttpToolsProtocol):
    """One connection that speaks HTTP."""

    transport: Any
    connections: set[Any]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client."""
        super().connection_made(transport)
        if not self.finds_room():
            self.turn_away()

    def turn_away(self) -> None:
        """There is no room for it."""
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self.stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes; the first of a further request on the same connection start its deadline."""
        before: RequestResponseCycle | None = self.cycle
        if self._timer is None and (before is None or before.response_complete):
            self.wait_for_head()
        super().data_received(data)

    def on_headers_complete(self) -> None:
        """The head is here."""
        self.stop_waiting()
        super().on_headers_complete()


def is_over_its_share(connection: Arrival, most: int) -> bool:
    """Whether the peer of a connection, which is counted already, has more than its share of ``most``."""
    share = SHARE * max(0, most - len(connection.connections) + 1)
    if len(connection.connections) <= share or connection.client is None:
        return False
    here = peer(connection.client[0])
    clients = (getattr(one, "client", None) for one in connection.connections)
    return sum(client is not None and peer(client[0]) == here for client in clients) > share


def _peer(connection: Arrival) -> str | None:
    return None if connection.client is None else peer(connection.client[0])
