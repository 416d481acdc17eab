"""Which name an address was given for, as the DNS sidecar saw it."""

from __future__ import annotations

MAX_NAMES = 4096
"""Of one agent. Agents are those of the settings."""
LONGEST = 86_400.0
"""Seconds that a name is remembered at most, whatever its owner says."""


class Names:
    """Of each agent its own: what one of them asks for says nothing of where another goes. Bounded; the oldest goes first."""

    def __init__(self) -> None:
        self._of: dict[str, dict[str, tuple[str, float]]] = {}

    def learn(self, agent: str, name: str, addresses: tuple[str, ...], now: float, ttl: float) -> None:
        """The agent was told that ``name`` leads to these, for ``ttl`` seconds."""
        known = self._of.setdefault(agent, {})
        for address in addresses:
            known.pop(address, None)
            known[address] = (name, now + min(max(ttl, 60.0), LONGEST))
            if len(known) > MAX_NAMES:
                del known[next(iter(known))]

    def of(self, agent: str, address: str, now: float) -> str:
        """The newest name that led the agent there, ``""`` for none."""
        name, until = self._of.get(agent, {}).get(address, ("", 0.0))
        return name if until > now else ""
