"""A plain HTTP request inside a tunnel: which host its head asks for. Of a connection only the first request is looked at."""

from __future__ import annotations

import re

from kaizen_security.egress import http1

_METHODS = (b"GET ", b"HEAD ", b"POST ", b"PUT ", b"DELETE ", b"OPTIONS ", b"PATCH ", b"TRACE ", b"CONNECT ")
_FIRST = frozenset(b"".join(method[:1] for method in _METHODS) + b"\r\n")
_LINE = re.compile(rb"[A-Z]{3,7} [^\n]*HTTP/1\.[0-9]+[ \t]*\r?")
_END = re.compile(rb"\n\r?\n")


def asked(data: bytes) -> str | None:
    """The canonical host that is asked for; ``""`` if it is no request, or names none; None when more bytes are needed.

    Servers skip empty lines before a request, and end lines at a bare LF. Raises Bad for what they could read in several ways.
    """
    if data and data[0] not in _FIRST:
        return ""
    begin = data.lstrip(b"\r\n")
    if not any(begin.startswith(method) or method.startswith(begin) for method in _METHODS):
        return ""
    line, ended, _ = begin.partition(b"\n")
    if ended and _LINE.fullmatch(line) is None:
        return ""
    end = _END.search(begin, len(line)) if ended else None
    if end is None:
        if len(data) > http1.MAX_HEAD:
            raise http1.Bad("the head of a request is too long", status=431)
        return None
    head = http1.request(begin[: end.start()].removesuffix(b"\r"))
    if head.method == b"CONNECT" or head.target[:1] not in (b"/", b"*"):
        return http1.destination(head).host
    hosts = head.values(b"host")
    if len(hosts) > 1 or (not hosts and head.minor):
        raise http1.Bad("a request needs exactly one Host field")
    return http1.host_port(hosts[0], 80)[0] if hosts else ""
