"""HTTP/1.1 heads: bytes to values and back (RFC 9110, RFC 9112). Strict where two readers could differ: that is smuggling.

Refused: bare LF or CR, obs-fold, whitespace before a colon, control characters, both Content-Length and Transfer-Encoding,
Content-Length twice with different values, a Transfer-Encoding that is not ``chunked``, more than one Host,
userinfo or a fragment in the target.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from kaizen_security.contract import canonical

MAX_HEAD = 65536
"""Bytes of a head."""
MAX_FIELDS = 200
MAX_LENGTH = (1 << 63) - 1
MAX_DIGITS = 19
IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"))
"""Methods of RFC 9110 section 9.2.2: a request may be sent once more when its connection broke."""

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb"{1,32}+) ([\x21-\x7e]{1,32768}+) HTTP/1\.([01])")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: ([\t\x20-\x7e\x80-\xff]*+))?")
ONE_FIELD = _TOKEN + rb"{1,256}+:[^\x00-\x08\x0a-\x1f\x7f]*+"
_FIELD = re.compile(ONE_FIELD)
_FIELDS = re.compile(ONE_FIELD + rb"(?:\r\n" + ONE_FIELD + rb")*+")


class Bad(ValueError):
    """What arrived cannot be passed on. ``status`` is the answer, the text says what is wrong and never repeats a value."""

    def __init__(self, problem: str, *, status: int = 400) -> None:
        super().__init__(problem)
        self.status = status


Entry: TypeAlias = tuple[bytes, bytes, bytes]
"""A field: its name in lower case, its name, its value."""


@dataclass(slots=True, eq=False)
class Fields:
    """Header fields in their order, and their values by lower-case name. The same object when the same lines come again.

    Never changed; not frozen because that doubles what one costs, and there are two in each request.
    """

    entries: tuple[Entry, ...]
    index: Mapping[bytes, list[bytes]]


@dataclass(slots=True)
class Head:
    """A head: HTTP/1.``minor`` and its fields."""

    minor: int
    fields: Fields

    def values(self, name: bytes) -> list[bytes]:
        """Every value of a field; ``name`` in lower case."""
        return self.fields.index.get(name) or []

    def tokens(self, name: bytes) -> list[bytes]:
        """The comma-separated members of a field, in lower case."""
        return _tokens(self.fields.index.get(name))


def _tokens(values: list[bytes] | None) -> list[bytes]:
    if values is None:
        return []
    return [token.strip(b" \t").lower() for value in values for token in value.split(b",") if token.strip()]


@dataclass(slots=True)
class Request(Head):
    """``target`` as it stands in the request line. ``lines``: the fields that travel on as they came, each with its end, where they
    are known; ``fields`` then holds only those that are for us or say how long the body is (``usual``).
    """

    method: bytes
    target: bytes
    lines: bytes | None = None


@dataclass(slots=True)
class Response(Head):
    """A status line and its fields. ``lines``: the fields as they came, each with its end, when they may travel on just so;
    ``fields`` then holds only those that say how long the body is (``usual``).
    """

    status: int
    phrase: bytes
    lines: bytes | None = None


def request(head: bytes) -> Request:
    """The request in ``head``, which does not hold the empty line. Raises Bad."""
    line, _, rest = head.partition(b"\r\n")
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise Bad("the request line is not METHOD SP TARGET SP HTTP/1.1")
    method, target, minor = match.groups()
    fields = _known_fields(rest) if len(rest) <= MAX_REMEMBERED else _fields(rest)
    return Request(int(minor), fields, method, target)


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
    return Response(int(minor), fields, int(status), phrase or b"")


MAX_REMEMBERED = 2048
"""Bytes of a request's fields that are remembered as they were read. A client repeats nearly all of them in every request."""


def _fields(block: bytes) -> Fields:
    if not block:
        return Fields((), {})
    lines = block.split(b"\r\n")
    if len(lines) > MAX_FIELDS:
        raise Bad(f"more than {MAX_FIELDS} header fields", status=431)
    if _FIELDS.fullmatch(block) is None:
        raise Bad(next(_what_is_wrong(line) for line in lines if _FIELD.fullmatch(line) is None))
    found = []
    index: dict[bytes, list[bytes]] = {}
    for line in lines:
        entry = _known_entry(line) if len(line) <= MAX_LINE else _entry(line)
        found.append(entry)
        if entry[0] in index:
            index[entry[0]].append(entry[2])
        else:
            index[entry[0]] = [entry[2]]
    return Fields(tuple(found), index)


def _entry(line: bytes) -> Entry:
    name, _, value = line.partition(b":")
    return (name.lower(), name, value.strip(b" \t"))


MAX_LINE = 256
"""Bytes of a line that is remembered."""
_known_entry = lru_cache(maxsize=1024)(_entry)
_known_fields = lru_cache(maxsize=256)(_fields)


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
    length = content_length(head)
    if b"transfer-encoding" not in head.fields.index:
        return length or NONE
    # In any case of letters, but without a comma: an empty member (``chunked,``) means nothing here and something elsewhere.
    codings = [value.lower() for value in head.fields.index[b"transfer-encoding"]]
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
        length = content_length(head)
    except Bad as err:
        raise Bad(f"in the origin's answer: {err}", status=502) from err
    if method == b"HEAD" or head.status < 200 or head.status in (204, 304):
        return NONE
    if b"transfer-encoding" in head.fields.index:
        if length is not None:
            raise Bad("in the origin's answer: both Content-Length and Transfer-Encoding", status=502)
        codings = head.tokens(b"transfer-encoding")
        if codings[-1:] != [b"chunked"] or codings.count(b"chunked") != 1 or head.minor == 0:
            raise Bad("in the origin's answer: a Transfer-Encoding that does not end in chunked", status=502)
        return CHUNKED
    return UNTIL_CLOSE if length is None else length


def content_length(head: Head) -> int | None:
    """What the field says, None where there is none. Raises Bad."""
    values = head.fields.index.get(b"content-length")
    if values is None:
        return None
    value = values[0]
    if len(values) > 1 and any(other != value for other in values):
        raise Bad("Content-Length is there twice with different values")
    if not value.isdigit() or len(value) > MAX_DIGITS or int(value) > MAX_LENGTH:
        raise Bad("Content-Length is not a number")
    return int(value)


# --- where a request goes ---------------------------------------------------------------------------------------------------


class Destination(NamedTuple):
    """``host`` in canonical form (an address without brackets), ``port`` 1 to 65535, ``name`` both together (IPv6 in brackets),
    ``path`` in origin-form (CONNECT: empty).
    """

    host: str
    port: int
    name: str
    path: bytes = b""


def authority(host: str, port: int) -> str:
    """``host:port``, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def destination(head: Request) -> Destination:
    """Where the request is to go. Raises Bad: only ``CONNECT host:port`` and ``METHOD http://host/…`` are proxy requests."""
    target = head.target
    if head.method == b"CONNECT":
        return Destination(*host_port(target, None))
    if target[:7].lower() != b"http://":
        scheme = target.partition(b"://")[0].lower()
        if scheme == b"https":
            raise Bad("https goes through CONNECT, not as a plain request to a proxy")
        raise Bad("this is a proxy: it takes CONNECT host:port and absolute http:// targets")
    if b"#" in target:
        raise Bad("a fragment in the request target")
    cut = target.find(b"/", 7)
    query = target.find(b"?", 7, cut if cut >= 0 else len(target))
    if query >= 0:
        cut = query
    path = target[cut:] if cut >= 0 else b""
    if not path:
        path = b"*" if head.method == b"OPTIONS" else b"/"
    elif path[:1] == b"?":
        path = b"/" + path
    host, port, name = host_port(target[7:cut] if cut >= 0 else target[7:], 80)
    return Destination(host, port, name, path)


@lru_cache(maxsize=256)
def connect(head: bytes) -> tuple[Request, Destination]:
    """A CONNECT, and where it is to go: an agent asks for the same few places in the same words. Raises Bad."""
    found = request(head)
    return found, destination(found)


_PORT = re.compile(rb"[0-9]{1,5}")


@lru_cache(maxsize=4096)
def host_port(said: bytes, default: int | None) -> tuple[str, int, str]:
    """Canonical host, port, and both together, of ``host:port``; without ``default`` the port has to be there. Raises Bad."""
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
        known = canonical.host(host.decode("ascii"))
        return known, number, authority(known, number)
    except ValueError as err:
        raise Bad("the target's host is neither a name nor an address") from err


# --- what travels on --------------------------------------------------------------------------------------------------------

HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection proxy-authorization proxy-authenticate proxy-authentication-info te upgrade "
    b"http2-settings".split()
)
"""Fields that are for us only (RFC 9110 section 7.6.1). Transfer-Encoding and Trailer stay: chunks are passed on as they came."""

_NEEDED = frozenset((b"host", b"content-length", b"transfer-encoding", b"content-type", b"authorization", b"cookie"))


def end_to_end(fields: Fields) -> Sequence[Entry]:
    """The fields that travel on. Raises Bad when Connection names a field that frames or routes the message."""
    named = _tokens(fields.index.get(b"connection"))
    if not _NEEDED.isdisjoint(named):
        raise Bad("Connection names a field that must not be removed")
    dropped = HOP_BY_HOP.union(named) if named else HOP_BY_HOP
    return [entry for entry in fields.entries if entry[0] not in dropped]


def keeps_alive(head: Head) -> bool:
    """Whether the sender will use the connection again."""
    index = head.fields.index
    if b"connection" not in index and b"proxy-connection" not in index:
        return head.minor == 1
    said = head.tokens(b"connection") + head.tokens(b"proxy-connection")
    if b"close" in said:
        return False
    return head.minor == 1 or b"keep-alive" in said


def joined(fields: Iterable[Entry]) -> bytes:
    """Header lines, each with its end."""
    return b"".join([b"%b: %b\r\n" % (name, value) for _, name, value in fields])
