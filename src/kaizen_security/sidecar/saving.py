"""Saving what was learned, so that no agent waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from time import monotonic

from kaizen_security.contract.action import Json
from kaizen_security.runtime.agents import AgentKey, Agents

LEAVING = 64
"""Baselines of agents that had to leave memory which may wait for the disk: 4 MB at the most."""
SOON = 1.0
"""Seconds after which those are written."""


async def save(agents: Agents, due: Iterator[tuple[AgentKey, Json]]) -> int:
    """Put baselines on the shelf (``Agents.changed``, ``Agents.left``); how many those were. Call it in the event loop.

    Each is written out here, one a turn: a thread would do that with the agent's lane held, and take the interpreter again and
    again from the thread that answers. What is slow is the disk, and that is left to a thread.
    """
    saved = 0
    for key, document in due:
        if await asyncio.to_thread(agents.shelf.save, key, document) is False:
            agents.again(key)
        saved += 1
    return saved


async def keep_saving(agents: Agents, seconds: float) -> None:
    """Save what changed, every so many seconds, and what leaves memory soon after. Goes on until it is cancelled."""
    # Beside the waking: one agent that cannot be woken must not keep what the others learned from the disk.
    last = monotonic()
    while True:
        await asyncio.sleep(min(seconds, SOON))
        if monotonic() - last < seconds:
            await save(agents, agents.left())
            continue
        last = monotonic()
        await save(agents, agents.changed())
