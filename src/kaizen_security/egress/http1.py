"""HTTP/1.1 heads: bytes to values and back (RFC 9110, RFC 9112). Strict where two readers could differ: that is smuggling.

Refused: bare LF or CR, obs-fold, whitespace before a colon, control characters, both Content-Length and Transfer-Encoding,
Content-Length twice with different values, a Transfer-Encoding that is not ``chunked``, more than one Host,
userinfo or a fragment in the target.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

from kaizen_security.contract import canonical

MAX_HEAD = 65536
"""Bytes of a head."""
MAX_FIELDS = 200
MAX_TARGET = 32768
MAX_LENGTH = (1 << 63) - 1

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb"{1,32}+) ([\x21-\x7e]{1,32768}+) HTTP/1\.([01])")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*+))?")
_ONE = _TOKEN + rb"{1,256}+:[^\x00-\x08\x0a-\x1f\x7f]*+"
_FIELD = re.compile(_ONE)
_FIELDS = re.compile(_ONE + rb"(?:\r\n" + _ONE + rb")*+")
_DIGITS = re.compile(rb"[0-9]{1,19}")


class Bad(ValueError):
    """What arrived cannot be passed on. ``status`` is the answer, the text says what is wrong and never repeats a value."""

    def __init__(self, problem: str, *, status: int = 400) -> None:
        super().__init__(problem)
        self.status = status


@dataclass(slots=True, kw_only=True)
class Head:
    """A head's fields in their order; names in lower case beside the spelling that arrived."""

    minor: int
    """HTTP/1.minor"""
    fields: list[tuple[bytes, bytes, bytes]] = field(default_factory=list)
    """(name in lower case, name, value)"""
    index: dict[bytes, list[bytes]] = field(init=False)

    def __post_init__(self) -> None:
        index: dict[bytes, list[bytes]] = {}
        self.index = index
        for lower, _, value in self.fields:
            if lower in index:
                index[lower].append(value)
            else:
                index[lower] = [value]

    def values(self, name: bytes) -> list[bytes]:
        """Every value of a field."""
        return self.index.get(name) or []

    def tokens(self, name: bytes) -> list[bytes]:
        """The comma-separated members of a field, in lower case."""
        values = self.index.get(name)
        if values is None:
            return []
        return [token.strip(b" \t").lower() for value in values for token in value.split(b",") if token.strip()]


@dataclass(slots=True, kw_only=True)
class Request(Head):
    """``target`` as it stands in the request line."""

    method: bytes
    target: bytes


@dataclass(slots=True, kw_only=True)
class Response(Head):
    """A status line and its fields."""

    status: int
    phrase: bytes


def request(head: bytes) -> Request:
    """The request in ``head``, which does not hold the empty line. Raises Bad."""
    line, _, rest = head.partition(b"\r\n")
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise Bad("the request line is not METHOD SP TARGET SP HTTP/1.1")
    method, target, minor = match.groups()
    return Request(minor=int(minor), method=method, target=target, fields=_fields(rest))


def response(head: bytes) -> Response:
    """The response in ``head``. Raises Bad (status 502)."""
    line, _, rest = head.partition(b"\r\n")
    match = _STATUS_LINE.fullmatch(line)
    if match is None:
        raise Bad("the origin's status line is not HTTP/1.1", status=502)
    minor, status, phrase = match.groups()
    try:
        fields = _fields(rest)
    except Bad as err:
        raise Bad(f"in the origin's answer: {err}", status=502) from err
    return Response(minor=int(minor), status=int(status), phrase=phrase or b"", fields=fields)


def _fields(block: bytes) -> list[tuple[bytes, bytes, bytes]]:
    if not block:
        return []
    lines = block.split(b"\r\n")
    if len(lines) > MAX_FIELDS:
        raise Bad(f"more than {MAX_FIELDS} header fields", status=431)
    if _FIELDS.fullmatch(block) is None:
        raise Bad(next(_what_is_wrong(line) for line in lines if _FIELD.fullmatch(line) is None))
    found = []
    for line in lines:
        name, _, value = line.partition(b":")
        found.append((name.lower(), name, value.strip(b" \t")))
    return found


def _what_is_wrong(line: bytes) -> str:
    if line[:1] in (b" ", b"\t"):
        return "a header field is folded over two lines"
    if b"\n" in line or b"\r" in line:
        return "a header line ends in a bare LF or holds a bare CR"
    name, colon, _ = line.partition(b":")
    if colon and name != name.rstrip(b" \t"):
        return "whitespace stands before the colon of a header field"
    return "a header line is not NAME: VALUE"


# --- how long a body is -----------------------------------------------------------------------------------------------------

NONE = 0
"""A body of this many bytes; negative numbers are the other ways to tell."""
CHUNKED = -1
UNTIL_CLOSE = -2


def request_body(head: Request) -> int:
    """Bytes of the body, or CHUNKED (RFC 9112 section 6). Raises Bad."""
    length = _content_length(head)
    if not head.values(b"transfer-encoding"):
        return length or NONE
    codings = head.tokens(b"transfer-encoding")
    if length is not None:
        raise Bad("both Content-Length and Transfer-Encoding")
    if head.minor == 0:
        raise Bad("Transfer-Encoding in an HTTP/1.0 request")
    if codings != [b"chunked"]:
        raise Bad("a Transfer-Encoding other than chunked", status=501)
    return CHUNKED


def response_body(head: Response, method: bytes) -> int:
    """Bytes of the body, CHUNKED or UNTIL_CLOSE (RFC 9112 section 6.3). Raises Bad (status 502)."""
    try:
        length = _content_length(head)
    except Bad as err:
        raise Bad(f"in the origin's answer: {err}", status=502) from err
    if method == b"HEAD" or head.status < 200 or head.status in (204, 304):
        return NONE
    if head.values(b"transfer-encoding"):
        if length is not None:
            raise Bad("in the origin's answer: both Content-Length and Transfer-Encoding", status=502)
        codings = head.tokens(b"transfer-encoding")
        if codings[-1:] != [b"chunked"] or codings.count(b"chunked") != 1 or head.minor == 0:
            raise Bad("in the origin's answer: a Transfer-Encoding that does not end in chunked", status=502)
        return CHUNKED
    return UNTIL_CLOSE if length is None else length


def _content_length(head: Head) -> int | None:
    values = head.values(b"content-length")
    if not values:
        return None
    value = values[0]
    if any(other != value for other in values):
        raise Bad("Content-Length is there twice with different values")
    if _DIGITS.fullmatch(value) is None or int(value) > MAX_LENGTH:
        raise Bad("Content-Length is not a number")
    return int(value)


# --- where a request goes ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """``host`` in canonical form (an address without brackets), ``port`` 1 to 65535, ``path`` in origin-form (CONNECT: empty)."""

    host: str
    port: int
    path: bytes = b""

    @property
    def name(self) -> str:
        """``host:port``, an IPv6 address in brackets."""
        return authority(self.host, self.port)


def authority(host: str, port: int) -> str:
    """``host:port``, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def destination(head: Request) -> Destination:
    """Where the request is to go. Raises Bad: only ``CONNECT host:port`` and ``METHOD http://host/…`` are proxy requests."""
    target = head.target
    if head.method == b"CONNECT":
        host, port = host_port(target, None)
        return Destination(host=host, port=port)
    if target[:7].lower() != b"http://":
        scheme = target.partition(b"://")[0].lower()
        if scheme == b"https":
            raise Bad("https goes through CONNECT, not as a plain request to a proxy")
        raise Bad("this is a proxy: it takes CONNECT host:port and absolute http:// targets")
    if b"#" in target:
        raise Bad("a fragment in the request target")
    rest = target[7:]
    cut = min((at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0), default=len(rest))
    host, port = host_port(rest[:cut], 80)
    path = rest[cut:]
    if not path:
        path = b"*" if head.method == b"OPTIONS" else b"/"
    elif path[:1] == b"?":
        path = b"/" + path
    return Destination(host=host, port=port, path=path)


_PORT = re.compile(rb"[0-9]{1,5}")


@lru_cache(maxsize=4096)
def host_port(said: bytes, default: int | None) -> tuple[str, int]:
    """Canonical host and port of ``host:port``; without ``default`` the port has to be there. Raises Bad."""
    if b"@" in said:
        raise Bad("userinfo in the request target")
    if said[:1] == b"[":
        host, bracket, rest = said.partition(b"]")
        host += bracket
        if rest and rest[:1] != b":":
            raise Bad("the target's host is not host:port")
        colon, port = rest[:1], rest[1:]
    else:
        host, colon, port = said.partition(b":")
    number = default
    if colon and (port or default is None):
        number = int(port) if _PORT.fullmatch(port) else 0
    if number is None or not 0 < number < 65536:
        raise Bad("the target needs a port from 1 to 65535")
    try:
        return canonical.host(host.decode("ascii")), number
    except ValueError as err:
        raise Bad("the target's host is neither a name nor an address") from err


# --- what travels on --------------------------------------------------------------------------------------------------------

HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection proxy-authorization proxy-authenticate proxy-authentication-info te upgrade "
    b"http2-settings".split()
)
"""Fields that are for us only (RFC 9110 section 7.6.1). Transfer-Encoding and Trailer stay: chunks are passed on as they came."""

_NEEDED = frozenset((b"host", b"content-length", b"transfer-encoding", b"content-type", b"authorization", b"cookie"))


def end_to_end(head: Head) -> list[tuple[bytes, bytes, bytes]]:
    """The fields that travel on. Raises Bad when Connection names a field that frames or routes the message."""
    named = head.tokens(b"connection")
    if not _NEEDED.isdisjoint(named):
        raise Bad("Connection names a field that must not be removed")
    dropped = HOP_BY_HOP.union(named) if named else HOP_BY_HOP
    return [entry for entry in head.fields if entry[0] not in dropped]


def keeps_alive(head: Head) -> bool:
    """Whether the sender will use the connection again."""
    said = head.tokens(b"connection") + head.tokens(b"proxy-connection")
    if b"close" in said:
        return False
    return head.minor == 1 or b"keep-alive" in said


def joined(fields: list[tuple[bytes, bytes, bytes]]) -> bytes:
    """Header lines, each with its end."""
    return b"".join([b"%b: %b\r\n" % (name, value) for _, name, value in fields])
