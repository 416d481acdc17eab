"""The first bytes of a TLS connection: which name is asked for, which protocols are spoken (RFC 8446, RFC 6066, RFC 7301)."""

from __future__ import annotations

from dataclasses import dataclass

MAX_HELLO = 1 << 16
"""Bytes that a hello may have. Real ones, post-quantum key shares included, stay under 4 KB."""

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_SERVER_NAME = 0
_ALPN = 16
_ECH = 0xFE0D


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
    body = _Reader(message)
    body.skip(2 + 32)  # legacy version, random
    body.vector(1)  # session id
    body.vector(2)  # cipher suites
    body.vector(1)  # compression methods
    if body.done():
        return Hello()
    return _extensions(_Reader(body.vector(2)))


def _message(data: bytes) -> bytes | None:
    """The handshake message out of its records, without its header."""
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


def _extensions(extensions: _Reader) -> Hello:
    sni, ech = "", False
    alpn: tuple[str, ...] = ()
    seen: set[int] = set()
    while not extensions.done():
        kind = extensions.number(2)
        value = _Reader(extensions.vector(2))
        if kind in seen:
            raise ValueError("a TLS extension is there twice")
        seen.add(kind)
        if kind == _SERVER_NAME:
            sni = _name(value)
        elif kind == _ALPN:
            alpn = _protocols(_Reader(value.vector(2)))
        elif kind == _ECH:
            ech = True
    return Hello(sni=sni, alpn=alpn, ech=ech)


def _name(value: _Reader) -> str:
    names = _Reader(value.vector(2))
    name = ""
    while not names.done():
        kind = names.number(1)
        said = names.vector(2)
        if kind == 0:
            if name:
                raise ValueError("two server names")
            if (
                not said
                or len(said) > 255
                or not said.isascii()
                or not said.decode("ascii").isprintable()
                or b" " in said
            ):
                raise ValueError("the server name is not a name")
            name = said.decode("ascii").lower()
    return name


def _protocols(value: _Reader) -> tuple[str, ...]:
    found = []
    while not value.done():
        found.append(value.vector(1).decode("ascii", "backslashreplace"))
        if len(found) > 64:
            raise ValueError("more than 64 protocols")
    return tuple(found)


class _Reader:
    """Reads fields off bytes. Raises ValueError past their end."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def done(self) -> bool:
        return self._at == len(self._data)

    def skip(self, n: int) -> None:
        self._take(n)

    def number(self, width: int) -> int:
        return int.from_bytes(self._take(width), "big")

    def vector(self, width: int) -> bytes:
        return self._take(self.number(width))

    def _take(self, n: int) -> bytes:
        data = self._data[self._at : self._at + n]
        if len(data) != n:
            raise ValueError("a TLS field is longer than what holds it")
        self._at += n
        return data


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
