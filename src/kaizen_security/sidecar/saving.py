"""Saving what was learned, so that no agent waits for it."""

from __future__ import annotations

import asyncio

from kaizen_security.runtime.agents import Agents


async def save(agents: Agents) -> int:
    """Put the baselines that changed since the last time on the shelf; how many those were. Call it in the event loop.

    Each is written out here, one a turn: a thread would do that with the agent's lane held, and take the interpreter again and
    again from the thread that answers. What is slow is the disk, and that is left to a thread.
    """
    saved = 0
    for key, document in agents.changed():
        await asyncio.to_thread(agents.shelf.save, key, document)
        saved += 1
    return saved
