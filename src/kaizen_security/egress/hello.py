"""The first bytes of a TLS connection: which name is asked for, which protocols are spoken (RFC 8446, RFC 6066, RFC 7301)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache

MAX_HELLO = 1 << 16
"""Bytes that a hello may have. Real ones, post-quantum key shares included, stay under 4 KB."""
MAX_HELD = 2 * MAX_HELLO
"""Bytes that are held back for it, with the heads of its records."""

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
    return None if message is None else _hello(message)


def _hello(message: bytes) -> Hello:
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
    return _Records().take(data)


class _Records:
    """Puts a message together out of its records, however small they and the pieces that bring them are: no byte is looked at
    twice. An empty record is none of a client's (RFC 8446 section 5.1), but servers take it, so it must not hide what follows.
    """

    __slots__ = ("_at", "_left", "_message")

    def __init__(self) -> None:
        self._at = 0
        self._left = 0
        self._message = bytearray()

    def take(self, data: bytes) -> bytes | None:
        """``data``: all bytes so far. The handshake message without its header, None when more is needed. Raises ValueError."""
        while True:
            if self._left:
                part = data[self._at : self._at + self._left]
                if not part:
                    return None
                self._message += part
                self._at += len(part)
                self._left -= len(part)
                if (message := self._whole()) is not None or self._left:
                    return message
            head = data[self._at : self._at + 5]
            if head and head[0] != _HANDSHAKE:
                raise ValueError("not a TLS handshake record")
            if len(head) < 5:
                return None
            self._left = head[3] << 8 | head[4]
            if head[1] != 3 or self._left > 1 << 14:
                raise ValueError("not a TLS handshake record")
            self._at += 5

    def _whole(self) -> bytes | None:
        message = self._message
        if message[0] != _CLIENT_HELLO:
            raise ValueError("not a TLS ClientHello")
        if len(message) < 4:
            return None
        need = 4 + int.from_bytes(message[1:4], "big")
        if need > MAX_HELLO:
            raise ValueError("not a TLS ClientHello")
        return bytes(message[4:need]) if len(message) >= need else None


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


class Reader:
    """Reads one hello out of bytes that come in pieces; ``MAX_HELD`` of them at the most."""

    __slots__ = ("_records",)

    def __init__(self) -> None:
        self._records: _Records | None = None

    def take(self, data: bytes) -> Hello | None:
        """As ``parse``; ``data``: all bytes so far. Raises ValueError."""
        if self._records is None:
            found = parse(data)
            if found is not None:
                return found  # nearly every hello comes whole
            self._records = _Records()
        else:
            message = self._records.take(data)
            found = None if message is None else _hello(message)
        if found is None and len(data) > MAX_HELD:
            raise ValueError("a TLS hello that is too long to be held back")
        return found
