"""Named: the sub-agents of one process, each a client with an identity, a baseline and a declaration of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kaizen_security.client.client import Kaizen

MOST = 32
"""Sub-agents with a client of their own; names may come from a model, so they must be bounded."""


class Named:
    """The clients of ``owner``'s sub-agents, with its settings and its own policies. Made when they are first named."""

    def __init__(self, owner: Kaizen) -> None:
        self._owner = owner
        self.reset()

    def reset(self) -> None:
        """Forget them: what a forked child must do, whose own clients are made anew."""
        self._lock = threading.Lock()
        self._known: dict[str, Kaizen] = {}

    def get(self, name: str) -> Kaizen:
        """The client of ``OWNER/name``. Beyond ``MOST`` the owner's own: nothing goes unjudged because a name is new."""
        known = self._known.get(name)
        if known is not None:
            return known
        with self._lock:
            known = self._known.get(name)
            if known is None and len(self._known) < MOST:
                known = self._known[name] = self._made(name)
            return known or self._owner

    def _made(self, name: str) -> Kaizen:
        from kaizen_security.client.aio import AsyncKaizen

        owner, settings = self._owner, self._owner.settings
        # An engine that does not wait for the organisation's policy when it is made: that may be on an event loop.
        return AsyncKaizen(
            settings.api_key,
            settings.base_url,
            owner.rules.policies,
            f"{settings.agent}/{name}"[:256],
            settings.fail_open,
            settings.report,
            settings.sync,
            owner.on_verdict,
            sidecar=settings.sidecar,
            mode=settings.mode,
            in_tenant=settings.in_tenant,
            deadline=settings.deadline,
            hold_seconds=settings.hold_seconds,
            data=settings.data,
            spool_bytes=settings.spool_bytes,
            audit=False,
        ).sync

    def lost(self) -> Iterator[tuple[str, int]]:
        """What they lost, by reason."""
        for one in list(self._known.values()):
            yield from one.lost.items()

    def flush(self, until: float) -> bool:
        """Deliver what they have; false when some of it is still there. ``until`` by the monotonic clock."""
        left = [one for one in list(self._known.values()) if not one.flush(max(until - monotonic(), 0.1))]
        return not left

    def close(self, until: float) -> None:
        """Close them."""
        for one in list(self._known.values()):
            one.close(max(until - monotonic(), 0.1))
