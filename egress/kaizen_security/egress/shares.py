"""Shares: how many of the proxy's connections one peer may have. Pure."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv6Address

from kaizen_security.egress.accounts import plain_address

SHARE = 16
"""A peer may have so many times what is free: alone 16 of 17 places, and somebody else always finds one."""


class Shares:
    """By peer: an IPv4 address, or a /64 of IPv6, of which one host has all addresses."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    def permit(self, peer: str, free: int) -> bool:
        """Whether one more is within the peer's share while ``free`` places are left."""
        return self._taken[_name(peer)] < SHARE * free

    def take(self, peer: str) -> None:
        """It has one more."""
        self._taken[_name(peer)] += 1

    def give(self, peer: str) -> None:
        """It has ended."""
        name = _name(peer)
        self._taken[name] -= 1
        if self._taken[name] <= 0:
            del self._taken[name]


def _name(peer: str) -> str:
    if ":" not in peer:
        return peer
    address = plain_address(peer)
    return str(address) if not isinstance(address, IPv6Address) else address.packed[:8].hex()
