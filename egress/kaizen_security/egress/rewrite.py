"""Heads as the proxy sends them on: origin-form and a Host of its own to the origin, hop-by-hop fields gone both ways. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from kaizen_security.egress import http1


def wants_websocket(head: http1.Request) -> bool:
    """WebSocket is passed on; any other upgrade is not asked for, and the request goes on without it (RFC 9110 section 7.8)."""
    return (
        b"upgrade" in head.fields.index
        and head.tokens(b"upgrade") == [b"websocket"]
        and b"upgrade" in head.tokens(b"connection")
        and head.method == b"GET"
        and head.minor == 1
        and http1.request_body(head) == http1.NONE
    )


def other_host(head: http1.Request, destination: http1.Destination, *, default: int = 80) -> str | None:
    """The place that the Host field names, if that is not the target, which is the one that counts (RFC 9112 section 3.2.2).

    ``default``: the port of a Host without one. Raises Bad unless there is one Host (none is right in HTTP/1.0).
    """
    hosts = head.values(b"host")
    if len(hosts) > 1 or (not hosts and head.minor == 1):
        raise http1.Bad("a request needs exactly one Host field")
    if not hosts:
        return None
    try:
        named = http1.host_port(hosts[0], default)[2]
    except http1.Bad:
        return hosts[0].decode("ascii", "backslashreplace")[:512]
    return None if named == destination.name else named


def request(
    head: http1.Request, destination: http1.Destination, *, websocket: bool, via: bool, host: bytes = b""
) -> bytes:
    """The head for the origin; ``host``: its Host field, by default the destination. Raises Bad."""
    if not host:
        name = destination.name
        host = (name.removesuffix(":80") if destination.port == 80 else name).encode("ascii")
    first = b"%b %b HTTP/1.%d\r\nHost: %b\r\n" % (head.method, destination.path, head.minor, host)
    lines = _onward(head.fields) if head.lines is None else head.lines
    length = http1.content_length(head)
    if length is not None:
        first += b"Content-Length: %d\r\n" % length  # 010 is 8 where somebody reads octal
    if head.minor == 0:
        # Sent on as HTTP/1.0, so that the origin does not answer in chunks, which the client would not understand.
        lines = http1.joined(entry for entry in _kept(head.fields) if entry[0] != b"expect")
        first += b"Connection: close\r\n"
    elif websocket:
        first += b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    if via:
        first += b"Via: 1.%d kaizen-egress\r\n" % head.minor
    return b"%b%b\r\n" % (first, lines)


def _kept(fields: http1.Fields) -> list[http1.Entry]:
    return [entry for entry in http1.end_to_end(fields) if entry[0] not in (b"host", b"content-length")]


@lru_cache(maxsize=256)
def _onward(fields: http1.Fields) -> bytes:
    """The lines of a request's fields for the origin. Fields that are known again (``http1``) are not written anew."""
    return http1.joined(_kept(fields))


def answer(head: http1.Response, *, close: bool) -> bytes:
    """The final head for the client. Raises Bad."""
    ending = b"Connection: close\r\n\r\n" if close else b"\r\n"
    lines = http1.joined(_once(http1.end_to_end(head.fields))) if head.lines is None else head.lines
    return b"HTTP/1.1 %d %b\r\n%b%b" % (head.status, head.phrase, lines, ending)


def interim(head: http1.Response) -> bytes:
    """A 1xx head for the client. Raises Bad."""
    lines = http1.joined(http1.end_to_end(head.fields)) if head.lines is None else head.lines
    return b"".join((_status_line(head), lines, b"\r\n"))


def switching(head: http1.Response) -> bytes:
    """101: the head that ends the HTTP conversation. Raises Bad."""
    lines = http1.joined(http1.end_to_end(head.fields)) if head.lines is None else head.lines
    return b"".join((_status_line(head), b"Connection: Upgrade\r\nUpgrade: websocket\r\n", lines, b"\r\n"))


def _status_line(head: http1.Response) -> bytes:
    return b"HTTP/1.1 %d %b\r\n" % (head.status, head.phrase)


def _once(fields: Iterable[http1.Entry]) -> list[http1.Entry]:
    """The same Content-Length twice becomes one."""
    seen = False
    kept = []
    for entry in fields:
        if entry[0] == b"content-length":
            if seen:
                continue
            seen = True
        kept.append(entry)
    return kept
