"""Which threads are ours: what they open and connect to is no action of the agent."""

from __future__ import annotations

import threading

_OWN = threading.local()


def mine() -> None:
    """Say so, at the start of a thread of ours."""
    _OWN.ours = True


def is_mine() -> bool:
    """Whether the current thread is one of ours."""
    return getattr(_OWN, "ours", False)
