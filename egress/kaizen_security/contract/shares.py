"""Shares: how much of what all use one may have, and who counts as one. Pure."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

SHARE = 16
"""One may have so many times what is free: alone 16 of 17 places, and somebody else always finds one."""


def permits(taken: int, free: int) -> bool:
    """Whether one who has taken that many places may have another while ``free`` are left."""
    return taken < SHARE * free


@lru_cache(4096)
def peer(address: str) -> str:
    """Who counts as one: an IPv4 address, however it is written, or a /64 of IPv6. What is no address stands for itself."""
    # Remembered, since whoever comes while all places are taken is compared with everybody who is there.
    # Whoever has one IPv6 address has 2^64 of them (RFC 6177), and would have as many shares.
    if ":" not in address:
        return address
    try:
        found = plain_address(address)
    except ValueError:
        return address
    return found.packed[:8].hex() if isinstance(found, IPv6Address) else str(found)


def plain_address(address: str) -> IPv4Address | IPv6Address:
    """An address without its zone, an IPv4 one as such. Raises ValueError."""
    found = ip_address(address.partition("%")[0])
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found
