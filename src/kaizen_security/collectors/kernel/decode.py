"""Bytes of the ring to Events. Pure; what has another size than its kind has is no event."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address

from kaizen_security.collectors.kernel.shapes import (
    ARGS_MAX,
    EXEC_LENGTHS,
    FILE_MAX,
    HEAD,
    NAME_LENGTH,
    NAME_MAX,
    PLACE,
    Kind,
    Reason,
)
from kaizen_security.contract.canonical_values import builder

_PROTOCOLS = {6: "tcp", 17: "udp", 1: "icmp", 58: "icmpv6", 132: "sctp", 136: "udplite"}
_NAMED = (Kind.QUESTION, Kind.ANSWER, Kind.HELLO, Kind.UNIX, Kind.FILE_SHUT)
_KINDS = {kind.value: kind for kind in Kind}
_REASONS = {reason.value: reason for reason in Reason}


class Malformed(ValueError):
    """Not an event of these programs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that a process of an agent did, or tried to.

    ``at``        Unix seconds; ``agent`` the number that its marks carry
    ``pid tid parent uid cgroup``  of the task, as the host numbers them; of a packet, of the task that connected, sent or bound
              its socket, as they were then
    ``comm``      what the task calls itself: a hint, the task may change it
    ``reason``    why it passed or was refused
    ``address``   dotted or colons, IPv4 never mapped; ``port`` 0 where there is none; ``protocol`` tcp, udp, …
    ``name``      QUESTION, ANSWER, HELLO: the name, lower case; FILE_SHUT: the path; UNIX: the path, or an abstract name after an @
    ``file args`` EXEC: the program's path as it was given, its arguments
    ``more``      SOCKET: its type; QUESTION: the record's type; ANSWER: how many addresses were tied to the name;
                  FILE_SHUT: the key of ``shapes.METHODS``
    ``cookie``    of the socket: the same in every event of one connection; 0 where there is none
    """

    kind: Kind
    at: float
    agent: int
    pid: int
    tid: int
    parent: int
    uid: int
    cgroup: int
    comm: str
    reason: Reason
    address: str = ""
    port: int = 0
    protocol: str = ""
    name: str = ""
    file: str = ""
    args: tuple[str, ...] = ()
    more: int = 0
    cookie: int = 0


def decode(data: memoryview | bytes, *, began: float = 0.0) -> Event:
    """The event in one record. ``began``: Unix seconds when CLOCK_MONOTONIC was 0. Raises Malformed."""
    if len(data) < HEAD.size:
        raise Malformed("too short")
    at, cgroup, number, agent, tgid, tid, parent, uid, why, _, comm = HEAD.unpack_from(data)
    kind, reason = _KINDS.get(number), _REASONS.get(why)
    if kind is None or reason is None:
        raise Malformed("of no known kind")
    address, port, protocol, more, cookie, name, file = "", 0, "", 0, 0, "", ""
    args: tuple[str, ...] = ()
    if kind is Kind.EXEC:
        file, args = _program(data)
    else:
        if len(data) < HEAD.size + PLACE.size:
            raise Malformed("without its place")
        cookie, raw, port, _, transport, more = PLACE.unpack_from(data, HEAD.size)
        address = _address(raw)
        protocol = _PROTOCOLS.get(transport) or f"ip-{transport}"
        if kind in _NAMED:
            name = _name(data, HEAD.size + PLACE.size)
        if kind is Kind.UNIX:
            # A path ends with a zero byte; an abstract name begins with one, and is shown with an @ as others show it.
            name = "@" + name[1:] if name.startswith("\0") else name.partition("\0")[0]
    return _event(
        kind,
        began + at / 1e9,
        agent,
        tgid,
        tid,
        parent,
        uid,
        cgroup,
        _text(comm),
        reason,
        address,
        port,
        protocol,
        name,
        file,
        args,
        more,
        cookie,
    )


_event = builder(Event)


@lru_cache(maxsize=4096)
def _address(raw: bytes) -> str:
    address = IPv6Address(raw)
    return str(address.ipv4_mapped or address)


@lru_cache(maxsize=4096)
def _text(raw: bytes) -> str:
    return raw.partition(b"\0")[0].decode("utf-8", "backslashreplace")


def _name(data: memoryview | bytes, at: int) -> str:
    if len(data) < at + NAME_LENGTH.size + NAME_MAX:
        raise Malformed("without its name")
    length = NAME_LENGTH.unpack_from(data, at)[0]
    if length > NAME_MAX:
        raise Malformed("a name is too long")
    start = at + NAME_LENGTH.size
    return bytes(data[start : start + length]).decode("ascii", "backslashreplace")


def _program(data: memoryview | bytes) -> tuple[str, tuple[str, ...]]:
    at = HEAD.size + EXEC_LENGTHS.size
    if len(data) < at:
        raise Malformed("without its lengths")
    file, args = EXEC_LENGTHS.unpack_from(data, HEAD.size)
    if file > FILE_MAX or args > ARGS_MAX or len(data) < at + file + args:
        raise Malformed("a length is beyond its field")
    words = bytes(data[at + file : at + file + args]).rstrip(b"\0")
    return (
        bytes(data[at : at + file]).decode("utf-8", "backslashreplace"),
        tuple(word.decode("utf-8", "backslashreplace") for word in words.split(b"\0")) if words else (),
    )
