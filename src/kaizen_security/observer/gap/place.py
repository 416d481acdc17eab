"""A host and a port as they are compared: what a call names, what was connected to."""

from __future__ import annotations

from typing import NamedTuple

from kaizen_security.contract import canonical

_UPGRADE = (80, 443)
"""Who asks in plain HTTP is sent on to TLS by the same host (RFC 6797)."""


class Place(NamedTuple):
    """A host as it is compared, and its port, 0 when none was named."""

    host: str
    port: int

    def covers(self, other: Place) -> bool:
        """Whether telling of this tells of the other; a host with ``www.`` before it has the same owner."""
        if self.host.removeprefix("www.") != other.host.removeprefix("www."):
            return False
        return not self.port or not other.port or self.port == other.port or (self.port, other.port) == _UPGRADE


def place_of(text: str, kind: str = "connect") -> Place | None:
    """The place that a target is; None when it is none."""
    found = canonical.destination(kind, text[:4096])
    return Place(found.host, found.port) if found is not None and found.host else None


def shown(place: Place) -> str:
    """``host:port``, ``[v6]:port``, or the host alone."""
    host = f"[{place.host}]" if ":" in place.host and not place.host.startswith("unix:") else place.host
    return f"{host}:{place.port}" if place.port else host
