"""Heads in the shape that nearly all have, read in two steps; what is shaped otherwise is left to ``http1``. Pure.

Nothing is decided here that ``http1`` and ``rewrite`` would decide otherwise: a test compares them, head by head.
"""

from __future__ import annotations

import re

from kaizen_security.egress import http1
from kaizen_security.egress.http1 import ONE_FIELD, Destination, Fields, Request, Response

_REQUEST = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}+) [Hh][Tt][Tt][Pp]://([^/?#@\x00-\x20\x7f-\xff]{1,4096}+)"
    rb"(/[\x21\x22\x24-\x7e]{0,8192}+) HTTP/1\.1((?:\r\n" + ONE_FIELD + rb")++)"
)
_RESPONSE = re.compile(
    rb"HTTP/1\.([01]) ([1-9][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*+)((?:\r\n" + ONE_FIELD + rb")*+)",
)


def _either(name: bytes) -> bytes:
    """Matches ``name`` in whatever case: with IGNORECASE the engine would search for the line's end and look no further."""
    return b"".join([b"[%c%c]" % (c, c - 32) if 97 <= c <= 122 else re.escape(b"%c" % c) for c in name])


_OURS = re.compile(
    rb"\r\n("
    + b"|".join(
        map(_either, b"host content-length transfer-encoding connection keep-alive te upgrade http2-settings".split())
    )
    + rb"|"
    + _either(b"proxy-")
    + rb"[A-Za-z-]++):[ \t]*+([^\r]*+)"
)
"""Fields that are for us, or say where the message goes and how long it is."""
_FOR_US = frozenset((b"connection", b"proxy-connection"))
_REMEMBERED = frozenset((b"host", b"content-length", b"proxy-authorization"))
_LENGTHS = frozenset((b"content-length", b"transfer-encoding"))


def request(head: bytes) -> tuple[Request, Destination] | None:
    """A proxy's plain request, and where it goes; None: look closely. Raises Bad.

    Of the fields only those are told that are for us; ``lines`` are the others, as they came.
    """
    match = _REQUEST.fullmatch(head)
    if match is None:
        return None
    method, place, path, block = match.groups()
    if block.count(b"\n") > http1.MAX_FIELDS:
        return None
    # Between lines that are for us (each with its name and value) stand those that travel on.
    parts = _OURS.split(block)
    index: dict[bytes, list[bytes]] = {}
    for at in range(1, len(parts), 3):
        name, value = parts[at].lower(), parts[at + 1].rstrip(b" \t")
        if name in _REMEMBERED:
            if name in index:
                return None
            index[name] = [value]
        elif name not in _FOR_US or value.lower() != b"keep-alive":
            return None
    if b"host" not in index or method == b"CONNECT":
        return None
    lines = b"".join(parts[::3])
    host, port, known = http1.host_port(place, 80)
    target = head[len(method) + 1 : -len(block) - 9]
    return (
        Request(1, Fields((), index), method, target, lines[2:] + b"\r\n" if lines else b""),
        Destination(host, port, known, path),
    )


def response(head: bytes) -> Response | None:
    """An answer of whose fields none is only for us; None: look closely."""
    match = _RESPONSE.fullmatch(head)
    if match is None:
        return None
    minor, status, phrase, block = match.groups()
    if block.count(b"\n") > http1.MAX_FIELDS:
        return None
    index: dict[bytes, list[bytes]] = {}
    for name, value in _OURS.findall(block):
        name = name.lower()
        if index or name not in _LENGTHS:
            return None
        index[name] = [value.rstrip(b" \t")]
    return Response(int(minor), Fields((), index), int(status), phrase, block[2:] + b"\r\n" if block else b"")
