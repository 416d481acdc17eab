"""Names inside the namespace: every name has an address of ours, and no question leaves.

An address from 198.18.0.0/15 (RFC 2544, never routed) stands for one name. Who connects to it is led to the proxy, which is told
the name and judges it before anybody resolves it: so a name is never a channel, and which name an address meant is never a guess.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

FIRST = int(IPv4Address("198.18.0.1"))
MOST = 65_536
"""Names in a run; further ones are not answered (SERVFAIL), and counted."""
_A, _IN = 1, 1
_MAX_NAME = 255


class Malformed(ValueError):
    """Not a question that a resolver sends."""


def question(packet: bytes) -> tuple[str, int, bytes]:
    """The name (lower case, no final dot), the type, and the bytes of the one question (RFC 1035, 4.1). Raises Malformed."""
    if len(packet) < 17:
        raise Malformed("too short")
    _, flags, asked = struct.unpack_from("!HHH", packet)
    if flags & 0xF800 or asked != 1:
        raise Malformed("not one standard question")
    labels, at = [], 12
    while True:
        if at >= len(packet):
            raise Malformed("the name does not end")
        size = packet[at]
        if size == 0:
            break
        if size > 63 or at + 1 + size >= len(packet) or at - 12 + size > _MAX_NAME:
            raise Malformed("a label is too long")
        labels.append(packet[at + 1 : at + 1 + size])
        at += 1 + size
    if at + 5 > len(packet):
        raise Malformed("no type")
    name = b".".join(labels).decode("ascii", "backslashreplace").lower()
    return name, struct.unpack_from("!H", packet, at + 1)[0], packet[12 : at + 5]


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

    def answer(self, packet: bytes) -> bytes:
        """The reply to one question: an address for A, nothing for every other type. Raises Malformed."""
        name, kind, asked = question(packet)
        known = self.address(name) if kind == _A else "-"
        code = 0 if known else 2
        body = b""
        if kind == _A and known:
            body = struct.pack("!HHHIH", 0xC00C, _A, _IN, 1, 4) + IPv4Address(known).packed
        flags = 0x8180 | code
        return packet[:2] + struct.pack("!HHHHH", flags, 1, 1 if body else 0, 0, 0) + asked + body
