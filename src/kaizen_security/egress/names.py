"""Which name an address was given for, as the DNS sidecar saw it."""

from __future__ import annotations

MAX_NAMES = 16384


class Names:
    """Bounded; the oldest goes first."""

    def __init__(self) -> None:
        self._of: dict[str, tuple[str, float]] = {}

    def learn(self, name: str, addresses: tuple[str, ...], until: float) -> None:
        """``name`` leads to these, until then (seconds)."""
        for address in addresses:
            self._of.pop(address, None)
            self._of[address] = (name, until)
            if len(self._of) > MAX_NAMES:
                del self._of[next(iter(self._of))]

    def of(self, address: str, now: float) -> str:
        """The newest name that led there, ``""`` for none."""
        name, until = self._of.get(address, ("", 0.0))
        return name if until > now else ""
