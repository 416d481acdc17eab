"""The end of a client's connection: send what is left, say FIN, and read on for a while."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaizen_security.egress.loop import READ, WRITE

if TYPE_CHECKING:
    from kaizen_security.egress.session import Session

LINGER = 2.0
"""Seconds that a client may still send after our last answer: closing at once would destroy it (RFC 9112 section 9.6)."""
MAX_LINGER = 1 << 20
"""And bytes."""


class Linger:
    """One session on its way out. Ends in ``session.close``."""

    __slots__ = ("_drained", "_session")

    def __init__(self, session: Session) -> None:
        self._session = session
        self._drained = 0

    def step(self, events: int) -> None:
        """Send what can be sent; after all of it, FIN."""
        session, wire = self._session, self._session.wire
        try:
            if events & WRITE and wire.out:
                wire.flush()
            if wire.out:
                wire.wait(WRITE, self.step)
                return
        except OSError:
            session.close()
            return
        session.due = session.loop.now + LINGER
        if session.ended:
            session.close()
            return
        wire.finish()
        wire.wait(READ, self._drain)

    def _drain(self, events: int) -> None:
        session = self._session
        try:
            data = session.wire.recv()
        except OSError:
            data = b""
        if data is None:
            return
        self._drained += len(data)
        if not data or self._drained > MAX_LINGER:
            session.close()
