"""One HTTP exchange with an address that an administrator typed in.

The control plane sits where internal services trust it, so a destination typed into the console must not reach them
(server-side request forgery, OWASP A10:2021). Every address that the name resolves to is checked, the checked address is
the one dialled (no second look-up that could answer differently), redirects are not followed, proxies of the environment
are not used. Internal destinations, a collector in the same network say, are named one by one in ``permitted``.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import socket
import ssl
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from kaizen_security.contract.errors import Misconfigured, Unreachable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
"""All that is routed (IANA's registry). Outside of it are forgotten coats of inner addresses: ``::127.0.0.1``, ``fec0::/10``."""
_INWARD = frozenset({ipaddress.ip_address("168.63.129.16")})
"""Public by its number alone: Azure's host agent, which hands out a machine's certificates."""

MAX_ANSWER = 64 << 10
"""Bytes of an answer that are kept: enough to say what was wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What to send. ``url`` is http or https."""

    url: str
    body: bytes
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """``retry_after`` is in seconds, 0 when the server does not say."""

    status: int
    body: bytes
    retry_after: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A checked destination: the name for TLS and ``Host``, the address that is dialled."""

    scheme: str
    host: str
    port: int
    path: str
    address: str


def permitted_host(entry: str) -> str:
    """An entry of ``permitted`` in the form that is compared: ``host`` or ``host:port``, lower case."""
    return entry.strip().lower()


def split(url: str) -> tuple[str, str, int, str]:
    """Scheme, host, port and path of a destination. Raises Misconfigured for anything but a plain http(s) URL."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme, 0)
    except ValueError as err:
        raise Misconfigured("the URL cannot be read") from err
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Misconfigured("the URL must begin with http:// or https:// and name a host")
    if parts.username is not None or parts.fragment:
        raise Misconfigured("the URL may carry neither credentials nor a fragment; put a token into a header")
    if any(ord(char) <= 32 or ord(char) == 127 for char in url):
        raise Misconfigured("the URL may hold neither white space nor control characters")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return parts.scheme, parts.hostname, port, path


def check(url: str, *, permitted: Collection[str] = ()) -> Place:
    """Resolve a destination and refuse what points inwards.

    All addresses of the name must be public (RFC 6890 "global"), unless ``host`` or ``host:port`` is in ``permitted``: a
    name with one public and one internal address is the shape of a rebinding attack. Raises Misconfigured, Unreachable when
    it does not resolve.
    """
    scheme, host, port, path = split(url)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as err:
        raise Unreachable(f"{host} does not resolve") from err
    addresses = [str(entry[4][0]) for entry in found]
    if not {host.lower(), f"{host.lower()}:{port}"} & {permitted_host(entry) for entry in permitted}:
        inward = [address for address in addresses if not public(address)]
        if inward:
            raise Misconfigured(
                f"{host} is {inward[0]}, which is not a public address; "
                f"if this destination is meant, permit {host}:{port} in the server's configuration"
            )
    return Place(scheme=scheme, host=host, port=port, path=path, address=addresses[0])


def public(address: str) -> bool:
    """Whether an address is globally reachable unicast, also when it is an IPv4 address in an IPv6 coat (mapped, 6to4, NAT64)."""
    parsed = ipaddress.ip_address(address.split("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour
        if inner is None and parsed in ipaddress.IPv6Network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
        if inner is not None:
            return public(str(inner))
        if parsed not in _GLOBAL_UNICAST:
            return False
    return parsed.is_global and not parsed.is_multicast and parsed not in _INWARD


def send(exchange: Exchange, *, permitted: Collection[str] = (), deadline: float = 10.0) -> Answer:
    """Check, connect, send, read: all within ``deadline`` seconds, but for the system's resolver, which has its own patience.

    A redirect is an answer like any other (its status is 3xx), never followed. Raises Misconfigured for a destination that
    may not be reached, Unreachable when there is no answer in time or the certificate is wrong.
    """
    ends = time.monotonic() + deadline
    place = check(exchange.url, permitted=permitted)
    connection = _connect(place, ends)
    try:
        connection.sock.settimeout(_left(ends))
        connection.request(exchange.method, place.path, body=exchange.body, headers=dict(exchange.headers))
        answer = http.client.HTTPResponse(_Patience(connection.sock, ends), method=exchange.method)  # type: ignore[arg-type]
        answer.begin()
        body = _read(answer)
        return Answer(status=answer.status, body=body, retry_after=_seconds(answer.getheader("Retry-After")))
    except (OSError, http.client.HTTPException) as err:
        raise Unreachable(f"no answer from {place.host}:{place.port} ({type(err).__name__})") from err
    finally:
        connection.close()


def _connect(place: Place, ends: float) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection(place.host, place.port)
    try:
        raw = socket.create_connection((place.address, place.port), timeout=_left(ends))
        if place.scheme == "https":
            raw.settimeout(_left(ends))  # what connecting took is not given to the handshake once more
            raw = ssl.create_default_context().wrap_socket(raw, server_hostname=place.host)
    except ssl.SSLCertVerificationError as err:
        raise Unreachable(f"the certificate of {place.host}:{place.port} is not valid: {err.verify_message}") from err
    except OSError as err:
        raise Unreachable(f"cannot connect to {place.host}:{place.port} ({type(err).__name__})") from err
    connection.sock = raw
    return connection


class _Patience(io.RawIOBase):
    """A socket to read from until a time: a peer that drips gets no more of it than any other, in the head of its answer too."""

    def __init__(self, sock: socket.socket, ends: float) -> None:
        self._sock = sock
        self._ends = ends

    def makefile(self, mode: str) -> io.BufferedReader:
        """What ``HTTPResponse`` asks a socket for."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """At least one byte, or the deadline's TimeoutError."""
        self._sock.settimeout(_left(self._ends))
        return self._sock.recv_into(buffer)


def _read(answer: http.client.HTTPResponse) -> bytes:
    body = b""
    while len(body) < MAX_ANSWER and (piece := answer.read1(MAX_ANSWER - len(body))):
        body += piece
    return body


def _left(ends: float) -> float:
    left = ends - time.monotonic()
    if left <= 0:
        raise TimeoutError("deadline")
    return left


def _seconds(header: str | None) -> float:
    # The date form of Retry-After (RFC 9110 10.2.3) is left to the caller's own back-off.
    return float(header) if header and header.isascii() and header.isdigit() and len(header) < 7 else 0.0
