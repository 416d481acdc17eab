"""DNS messages (RFC 1035): the question of a query, the addresses in an answer, and a refusal. Pure; every read is bounded."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import ip_address

_HEAD = struct.Struct("!6H")
_RR = struct.Struct("!HHIH")
A, AAAA = 1, 28
TYPES = {
    1: "A",
    2: "NS",
    5: "CNAME",
    6: "SOA",
    10: "NULL",
    12: "PTR",
    15: "MX",
    16: "TXT",
    28: "AAAA",
    33: "SRV",
    64: "SVCB",
}
TYPES |= {65: "HTTPS", 255: "ANY"}
SERVFAIL, NXDOMAIN, REFUSED = 2, 3, 5
MAX_NAME = 255
MAX_POINTERS = 32
MAX_RECORDS = 256


@dataclass(frozen=True, slots=True)
class Question:
    """``name`` in lower case without the last dot, bytes that are no printable ASCII as ``\\ddd``; ``ends``: where it ends."""

    id: int
    name: str
    kind: int
    ends: int

    @property
    def type(self) -> str:
        """The type's name, or ``TYPE`` and its number (RFC 3597)."""
        return TYPES.get(self.kind) or f"TYPE{self.kind}"


def question(message: bytes, *, reply: bool = False) -> Question:
    """The one question of a query (or of a reply). Raises ValueError for anything else."""
    if len(message) < _HEAD.size:
        raise ValueError("shorter than a header")
    number, flags, questions, _, _, _ = _HEAD.unpack_from(message)
    if bool(flags & 0x8000) is not reply or questions != 1 or flags & 0x7800:
        raise ValueError("not a plain query with one question")
    name, at = _name(message, _HEAD.size)
    if at + 4 > len(message):
        raise ValueError("a question that is cut short")
    kind, _ = struct.unpack_from("!HH", message, at)
    return Question(number, name, kind, at + 4)


def addresses(message: bytes) -> tuple[int, tuple[str, ...], int]:
    """Status, addresses and the shortest TTL (seconds) of a reply. Raises ValueError."""
    asked = question(message, reply=True)
    _, flags, _, answers, _, _ = _HEAD.unpack_from(message)
    at, found, ttl = asked.ends, [], 1 << 31
    for _ in range(min(answers, MAX_RECORDS)):
        _, at = _name(message, at)
        if at + _RR.size > len(message):
            raise ValueError("a record that is cut short")
        kind, _, seconds, length = _RR.unpack_from(message, at)
        at += _RR.size
        data = message[at : at + length]
        at += length
        if (kind, len(data)) in ((A, 4), (AAAA, 16)):
            found.append(str(ip_address(data)))
            ttl = min(ttl, seconds)
    return flags & 15, tuple(found), ttl if found else 0


def refusal(query: bytes, asked: Question, status: int) -> bytes:
    """The reply to ``query`` that gives nothing but ``status``."""
    flags = struct.unpack_from("!H", query, 2)[0] & 0x0110 | 0x8080 | status
    return _HEAD.pack(asked.id, flags, 1, 0, 0, 0) + query[_HEAD.size : asked.ends]


def _name(message: bytes, at: int) -> tuple[str, int]:
    labels: list[str] = []
    size, jumps, after = 0, 0, -1
    while True:
        if at >= len(message):
            raise ValueError("a name that is cut short")
        length = message[at]
        if length >= 0xC0:
            if at + 1 >= len(message) or jumps >= MAX_POINTERS:
                raise ValueError("a name that leads nowhere")
            after = at + 2 if after < 0 else after
            at = (length & 0x3F) << 8 | message[at + 1]
            jumps += 1
            continue
        if length > 63:
            raise ValueError("a label of no known kind")
        at += 1
        if not length:
            return ".".join(labels), at if after < 0 else after
        label = message[at : at + length]
        size += length + 1
        if len(label) < length or size > MAX_NAME:
            raise ValueError("a name that is cut short or too long")
        labels.append(
            "".join(chr(byte) if 33 <= byte < 127 and byte != 46 else f"\\{byte:03d}" for byte in label.lower())
        )
        at += length
