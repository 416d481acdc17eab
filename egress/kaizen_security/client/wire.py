"""HTTP/1.1 as bytes (RFC 9112): one request written, one reply read. No input or output, so every cut of a reply can be tested.

Only what an API client needs: a body with its length, or none. A reply that two readers could understand differently is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from kaizen_security.contract.errors import InvalidInput

MAX_HEAD = 64 << 10
"""Bytes of a reply's head, and of its trailers."""
MAX_REPLY = 8 << 20
"""Bytes of a reply's body, unless the caller says otherwise."""
MAX_INTERIM = 8
"""How many 1xx replies may come before the real one."""

_NO_BODY = (204, 304)
_TOKEN = frozenset("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


class Malformed(ValueError):
    """What arrived is not an HTTP/1.1 reply, or is over its bound."""


def request(method: str, target: str, host: str, headers: Mapping[str, str] | None, body: bytes | None) -> bytes:
    """A request's bytes. ``target`` is the request target, already percent-encoded; ``host`` the Host field.

    Raises InvalidInput for a target or a header that could end its line early.
    """
    if not target.startswith("/") or not target.isascii() or not target.isprintable() or " " in target:
        raise InvalidInput("path", "must start with / and hold printable ASCII without spaces")
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    for name, value in (headers or {}).items():
        if not name or not _TOKEN.issuperset(name):
            raise InvalidInput("headers", "holds a name that is no token")
        if not value.isascii() or not (value.isprintable() or not value):
            raise InvalidInput(f"headers.{name}", "must be printable ASCII")
        lines.append(f"{name}: {value}")
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    elif method in ("POST", "PUT", "PATCH"):
        lines.append("Content-Length: 0")
    return "\r\n".join((*lines, "", "")).encode("ascii") + (body or b"")


class _State(Enum):
    HEAD = 0
    LENGTH = 1
    CHUNK_SIZE = 2
    CHUNK = 3
    TRAILERS = 4
    UNTIL_CLOSE = 5
    DONE = 6


class Reply:
    """One reply, fed as it arrives: ``feed`` bytes, ``end`` at the end of the stream, until ``done``.

    ``started``    a byte has arrived
    ``reusable``   the connection may carry another request
    ``headers``    names in lower case; a repeated field is joined with a comma (RFC 9110, section 5.3)
    """

    __slots__ = (
        "_body",
        "_buffer",
        "_head_only",
        "_interim",
        "_left",
        "_limit",
        "_state",
        "headers",
        "reusable",
        "status",
    )

    def __init__(self, *, limit: int = MAX_REPLY, head_only: bool = False) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.reusable = False
        self._body = bytearray()
        self._buffer = bytearray()
        self._state = _State.HEAD
        self._left = 0
        self._limit = limit
        self._interim = 0
        self._head_only = head_only

    @property
    def done(self) -> bool:
        """The reply is complete."""
        return self._state is _State.DONE

    @property
    def started(self) -> bool:
        """At least one byte of it has arrived."""
        return self._state is not _State.HEAD or bool(self._buffer) or self._interim > 0

    @property
    def body(self) -> bytes:
        """The body so far, without its framing."""
        return bytes(self._body)

    def feed(self, data: bytes) -> None:
        """Take what arrived. Raises Malformed."""
        self._buffer += data
        while self._advance():
            pass
        if self.done and self._buffer:
            # Bytes after the reply belong to no request of ours: this connection cannot be trusted with another one.
            self.reusable = False

    def end(self) -> None:
        """The stream has ended. Raises Malformed when the reply is not complete by that."""
        if self._state is _State.UNTIL_CLOSE:
            self._state = _State.DONE
        if not self.done:
            raise Malformed("the connection was closed in the middle of the reply")

    def _advance(self) -> bool:
        """One step; false when more bytes are needed or nothing is left to do."""
        match self._state:
            case _State.HEAD:
                return self._head()
            case _State.LENGTH | _State.CHUNK:
                return self._counted()
            case _State.CHUNK_SIZE:
                return self._chunk_size()
            case _State.TRAILERS:
                return self._trailers()
            case _State.UNTIL_CLOSE:
                self._take(len(self._buffer))
                return False
            case _State.DONE:
                return False

    def _head(self) -> bool:
        at = self._buffer.find(b"\r\n\r\n")
        if at < 0 or at > MAX_HEAD:
            if len(self._buffer) > MAX_HEAD:
                raise Malformed("the head of the reply is too long")
            return False
        lines = self._buffer[:at].decode("latin-1").split("\r\n")
        del self._buffer[: at + 4]
        minor = self._status_line(lines[0])
        self.headers = _fields(lines[1:])
        if self.status < 200:
            self._interim += 1
            if self.status == 101 or self._interim > MAX_INTERIM:
                raise Malformed("the reply switches protocols, or never gets to the point")
            return True
        connection = self.headers.get("connection", "").lower()
        self.reusable = "close" not in connection and (minor == "1" or "keep-alive" in connection)
        self._framing()
        return True

    def _status_line(self, line: str) -> str:
        version, _, rest = line.partition(" ")
        code = rest[:3]
        if (
            version not in ("HTTP/1.1", "HTTP/1.0")
            or not (code.isascii() and code.isdigit())
            or rest[3:4] not in ("", " ")
        ):
            raise Malformed("the reply does not start with an HTTP/1.1 status line")
        self.status = int(code)
        if not 100 <= self.status <= 599:
            raise Malformed("the reply's status is outside 100 to 599")
        return version[-1]

    def _framing(self) -> None:
        coding, length = self.headers.get("transfer-encoding"), self.headers.get("content-length")
        if self._head_only or self.status in _NO_BODY:
            self._state = _State.DONE
        elif coding is not None:
            if length is not None or coding.strip().lower() != "chunked":
                raise Malformed("the reply's Transfer-Encoding is not plainly chunked")
            self._state = _State.CHUNK_SIZE
        elif length is not None:
            self._left = _length(length)
            if self._left > self._limit:
                raise Malformed(f"the reply has more than {self._limit} bytes")
            self._state = _State.LENGTH if self._left else _State.DONE
        else:
            self.reusable = False
            self._state = _State.UNTIL_CLOSE

    def _take(self, n: int) -> None:
        if len(self._body) + n > self._limit:
            raise Malformed(f"the reply has more than {self._limit} bytes")
        self._body += self._buffer[:n]
        del self._buffer[:n]

    def _counted(self) -> bool:
        n = min(self._left, len(self._buffer))
        self._take(n)
        self._left -= n
        if self._left:
            return False
        if self._state is _State.LENGTH:
            self._state = _State.DONE
            return False
        if len(self._buffer) < 2:
            return False
        if self._buffer[:2] != b"\r\n":
            raise Malformed("a chunk of the reply is longer than it says")
        del self._buffer[:2]
        self._state = _State.CHUNK_SIZE
        return True

    def _chunk_size(self) -> bool:
        at = self._buffer.find(b"\r\n")
        if at < 0 or at > 256:
            if len(self._buffer) > 256:
                raise Malformed("a chunk size of the reply is too long")
            return False
        digits = self._buffer[:at].partition(b";")[0].strip().decode("latin-1")
        del self._buffer[: at + 2]
        if not digits or len(digits) > 12 or not set(digits) <= set("0123456789abcdefABCDEF"):
            raise Malformed("a chunk size of the reply is no hexadecimal number")
        self._left = int(digits, 16)
        self._state = _State.CHUNK if self._left else _State.TRAILERS
        return True

    def _trailers(self) -> bool:
        at = self._buffer.find(b"\r\n")
        if at < 0:
            if len(self._buffer) > MAX_HEAD:
                raise Malformed("the trailers of the reply are too long")
            return False
        empty = at == 0
        del self._buffer[: at + 2]
        self._interim += 1
        if self._interim > 200:
            raise Malformed("the reply has too many trailers")
        if empty:
            self._state = _State.DONE
        return not empty


def _fields(lines: list[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or not _TOKEN.issuperset(name):
            raise Malformed("a field of the reply's head has no proper name")
        name, value = name.lower(), value.strip(" \t")
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return fields


def _length(value: str) -> int:
    """RFC 9112, section 6.3: a list of the same number is that number."""
    said = {part.strip() for part in value.split(",")}
    number = said.pop()
    if said or not (number.isascii() and number.isdigit()) or len(number) > 15:
        raise Malformed("the reply's Content-Length is no single number")
    return int(number)
