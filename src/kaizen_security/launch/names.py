"""Names inside the namespace: every name has an address of ours, and no question leaves.

An address from 198.18.0.0/15 (RFC 2544, never routed) stands for one name. Who connects to it is led to the proxy, which is told
the name and judges it before anybody resolves it: so a name is never a channel, and which name an address meant is never a guess.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

from kaizen_security.egress.dnswire import SERVFAIL, A, Question

FIRST = int(IPv4Address("198.18.0.1"))
MOST = 65_536
"""Names in a run; further ones are not answered (SERVFAIL), and counted."""
_IN = 1


class Names:
    """The table of one run."""

    def __init__(self) -> None:
        self._address: dict[str, int] = {}
        self._name: dict[int, str] = {}
        self.refused = 0
        """Questions without an answer because the table is full."""

    def __len__(self) -> int:
        return len(self._address)

    def known(self, name: str) -> bool:
        """Whether it was asked for before."""
        return name in self._address

    def address(self, name: str) -> str:
        """The address that stands for ``name``; ``""`` when there is no room for it."""
        number = self._address.get(name)
        if number is None:
            if len(self._address) >= MOST:
                self.refused += 1
                return ""
            number = FIRST + len(self._address)
            self._address[name] = number
            self._name[number] = name
        return str(IPv4Address(number))

    def name(self, address: str) -> str:
        """The name behind an address of ours, ``""`` when it is none."""
        try:
            return self._name.get(int(IPv4Address(address)), "")
        except ValueError:
            return ""

    def answer(self, packet: bytes, asked: Question) -> bytes:
        """The reply to ``packet``, which asks that: an address for A, nothing for every other type."""
        known = self.address(asked.name) if asked.kind == A else "-"
        body = b""
        if asked.kind == A and known:
            body = struct.pack("!HHHIH", 0xC00C, A, _IN, 1, 4) + IPv4Address(known).packed
        flags = 0x8180 | (0 if known else SERVFAIL)
        return packet[:2] + struct.pack("!HHHHH", flags, 1, 1 if body else 0, 0, 0) + packet[12 : asked.ends] + body
