"""The event loop of our own processes."""

from __future__ import annotations

import asyncio


def runner() -> asyncio.Runner:
    """What runs one: the faster kind, where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)
