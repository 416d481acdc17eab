"""Which bundle is in force here for each agent, and who waits for the next one."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.declared import compile_declaration
from kaizen_security.runtime.agents import AgentKey
from kaizen_security.runtime.inspector import Inspector
from kaizen_security.sidecar.holding import Holding
from kaizen_security.sidecar.uplink import Uplink

FIRST_BUNDLE = 1.0
"""Seconds that the first action of an agent waits for its first bundle, while the control plane is there."""


@dataclass(slots=True)
class Held:
    """What is known of one agent's bundle here. ``changed`` is replaced by a fresh event at each change.

    ``waited``  its first bundle was waited for once; a control plane that hangs must not cost that at every action
    """

    bundle: Bundle | None
    changed: asyncio.Event
    waited: bool = False


class InForce:
    """Of all agents. ``loop``: the event loop that serves, as soon as it does."""

    def __init__(self, inspector: Inspector, uplink: Uplink, holding: Holding) -> None:
        self._inspector = inspector
        self._uplink = uplink
        self._holding = holding
        self._held: OrderedDict[str, Held] = OrderedDict()
        self.loop: asyncio.AbstractEventLoop | None = None

    def put(self, agent: str, bundle: Bundle) -> None:
        """A bundle has come. From any thread. Raises Misconfigured, then the one before stays in force."""
        compile_declaration(bundle.declaration)
        self._inspector.configure(agent, bundle)
        loop = self.loop
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._arrived, agent, bundle)

    def _arrived(self, agent: str, bundle: Bundle) -> None:
        held = self.of(agent)
        held.bundle = bundle
        self._holding.look_again(agent)
        held.changed.set()
        held.changed = asyncio.Event()

    def of(self, agent: str) -> Held:
        """What is known of the agent; it is watched from now on."""
        held = self._held.get(agent)
        if held is None:
            # The lane reads the last good bundle from disk, and so do we: both then start from the same.
            held = self._held[agent] = Held(self._inspector.agents.shelf.bundle(AgentKey("", agent)), asyncio.Event())
            if len(self._held) > self._inspector.agents.most:
                self._held.popitem(last=False)
            self._uplink.watch(agent, held.bundle.version if held.bundle else 0)
        else:
            self._held.move_to_end(agent)
        return held

    def is_awaited(self, held: Held) -> bool:
        """Whether the agent's first bundle is worth a wait: it can be expected, and was not waited for yet."""
        return (
            held.bundle is None and not held.waited and self._uplink.enabled and self._uplink.state in ("unknown", "ok")
        )

    async def ready(self, agent: str) -> Held:
        """What is known of the agent, after a short wait for its first bundle where one can be expected."""
        held = self.of(agent)
        if self.is_awaited(held):
            try:
                async with asyncio.timeout(FIRST_BUNDLE):
                    await held.changed.wait()
            except TimeoutError:
                held.waited = True
        return held

    def release(self) -> None:
        """The process ends: whoever waits for a bundle is told that there is no other."""
        for held in self._held.values():
            held.changed.set()
