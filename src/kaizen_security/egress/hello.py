"""The first bytes of a TLS connection: which name is asked for, which protocols are spoken (RFC 8446, RFC 6066, RFC 7301)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache

MAX_HELLO = 1 << 16
"""Bytes that a hello may have. Real ones, post-quantum key shares included, stay under 4 KB."""

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_SERVER_NAME = 0
_ALPN = 16
_ECH = 0xFE0D
_READ = frozenset((_SERVER_NAME, _ALPN, _ECH))
_EXTENSION = struct.Struct(">HH").unpack_from
_BEGINS = struct.Struct(">BBxHBBH").unpack_from
"""Of a record and the message in it: type, major version, length; type, and length in three bytes."""
_REMEMBERED = 256
"""Names and lists of protocols kept as they were read: an agent asks for few."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """``sni``: the name as sent, lower-case ASCII, ``""`` when none. ``alpn``: protocol ids in the client's order.

    ``ech``: an encrypted ClientHello is offered, so ``sni`` is only the outer name (or the offer is a decoy: they look alike).
    """

    sni: str = ""
    alpn: tuple[str, ...] = ()
    ech: bool = False


def parse(data: bytes) -> Hello | None:
    """The hello that ``data`` begins with; None when more bytes are needed.

    A hello may be split over several records. Raises ValueError for what is no TLS hello or is longer than ``MAX_HELLO``.
    """
    message = _message(data)
    if message is None:
        return None
    try:
        return _read(message)
    except (IndexError, struct.error):
        raise ValueError("a TLS field is longer than what holds it") from None


def _read(message: bytes) -> Hello:
    """The hello in its message. Index arithmetic without objects: this runs for every tunnel. Raises ValueError, IndexError."""
    at = 35 + message[34]  # legacy version, random, session id
    at += 2 + (message[at] << 8 | message[at + 1])  # cipher suites
    at += 1 + message[at]  # compression methods
    end = len(message)
    if at == end:
        return Hello()
    if at + 2 + (message[at] << 8 | message[at + 1]) != end:
        raise ValueError("the TLS extensions do not fill the hello")
    return _extensions(message, at + 2, end)


def _message(data: bytes) -> bytes | None:
    """The handshake message out of its records, without its header."""
    # Nearly every hello is one record that came in one read.
    if len(data) > 9:
        kind, major, length, message, high, need = _BEGINS(data)
        whole = length == need + 4 <= len(data) - 5 and need < 1 << 14 and not high
        if whole and kind == _HANDSHAKE and major == 3 and message == _CLIENT_HELLO:
            return data[9 : 9 + need]
    return _from_records(data)


def _from_records(data: bytes) -> bytes | None:
    parts: list[bytes] = []
    have = 0
    at = 0
    while True:
        if len(data) - at < 5:
            if at < len(data) and data[at] != _HANDSHAKE:
                raise ValueError("not a TLS handshake record")
            return None
        length = int.from_bytes(data[at + 3 : at + 5], "big")
        if data[at] != _HANDSHAKE or data[at + 1] != 3 or not 0 < length <= 1 << 14:
            raise ValueError("not a TLS handshake record")
        part = data[at + 5 : at + 5 + length]
        parts.append(part)
        have += len(part)
        if have >= 4:
            message = b"".join(parts)
            need = 4 + int.from_bytes(message[1:4], "big")
            if message[0] != _CLIENT_HELLO or need > MAX_HELLO:
                raise ValueError("not a TLS ClientHello")
            if have >= need:
                return message[4:need]
        elif have and parts[0][:1] not in (b"", b"\x01"):
            raise ValueError("not a TLS ClientHello")
        if len(part) < length:
            return None
        at += 5 + length


def _extensions(message: bytes, at: int, end: int) -> Hello:
    sni: str | None = None
    alpn: tuple[str, ...] | None = None
    ech = False
    while at < end:
        kind, length = _EXTENSION(message, at)
        start = at + 4
        at = start + length
        if kind not in _READ:
            continue
        if kind == _SERVER_NAME:
            if sni is not None:
                raise ValueError("two TLS extensions of server names")
            sni = _name(message[start:at])
        elif kind == _ALPN:
            if alpn is not None:
                raise ValueError("two TLS extensions of protocols")
            alpn = _protocols(message[start:at])
        else:
            ech = True
    if at > end:
        raise ValueError("a TLS extension is longer than what holds it")
    return _told(sni or "", alpn or (), ech)


@lru_cache(maxsize=_REMEMBERED)
def _told(sni: str, alpn: tuple[str, ...], ech: bool) -> Hello:
    return Hello(sni=sni, alpn=alpn, ech=ech)


def _vectors(data: bytes, at: int, width: int) -> list[bytes]:
    """The vectors that fill ``data`` from ``at`` on, each after its length of ``width`` bytes. Raises ValueError."""
    found = []
    while at < len(data):
        start = at + width
        at = start + int.from_bytes(data[at:start], "big")
        if at > len(data):
            raise ValueError("a TLS field is longer than what holds it")
        found.append(data[start:at])
    return found


@lru_cache(maxsize=_REMEMBERED)
def _name(value: bytes) -> str:
    if len(value) < 5 or int.from_bytes(value[:2], "big") != len(value) - 2 or value[2] != 0:
        raise ValueError("the server name is not one host name (RFC 6066 section 3)")
    names = _vectors(value, 3, 2)
    if len(names) != 1:
        raise ValueError("two server names")
    name = names[0]
    if not 0 < len(name) <= 255 or not name.isascii():
        raise ValueError("the server name is not a name")
    text = name.decode("ascii").lower()
    if " " in text or not text.isprintable():
        raise ValueError("the server name is not a name")
    return text


@lru_cache(maxsize=_REMEMBERED)
def _protocols(value: bytes) -> tuple[str, ...]:
    if len(value) < 2 or int.from_bytes(value[:2], "big") != len(value) - 2 or len(value) > 4096:
        raise ValueError("the TLS protocols do not fill their list")
    return tuple(_shown(name) for name in _vectors(value, 2, 1))


def _shown(name: bytes) -> str:
    """Text that every store takes: a NUL in a protocol's name must not keep a report from being kept."""
    text = name.decode("ascii", "backslashreplace")
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


class Peek:
    """Holds the first bytes of a tunnel back until it is known which name they ask for.

    What does not begin like TLS is let go at once.
    """

    __slots__ = ("_held", "hello", "readable")

    def __init__(self) -> None:
        self._held = b""
        self.hello: Hello | None = None
        self.readable = True
        """False: it began like TLS and then was none."""

    def see(self, data: bytes) -> bytes | None:
        """The bytes to let go, or None to wait for more. No ``data`` means that the client has ended: everything is let go."""
        held = self._held = self._held + data if self._held else data
        try:
            self.hello = parse(held)
        except ValueError:
            self.readable = held[:1] != b"\x16"
            return held
        if self.hello is None and data and len(held) <= 2 * MAX_HELLO:
            return None
        return held
