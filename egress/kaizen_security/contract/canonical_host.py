"""Hosts: one spelling for everything that dials the same name or address."""

from __future__ import annotations

import re
from functools import lru_cache

from kaizen_security.contract.canonical_address import fold, format4, format6, ipv4, ipv6

MAX_HOST = 253
"""Characters of a canonical name (RFC 1035 section 2.3.4, without the root's dot)."""
_MAX_RAW = 1024
_CACHED = 8192

_PLAIN = re.compile(r"(?:(?!xn--)[a-z0-9_-]{1,63}\.)*(?!xn--)[a-z_][a-z0-9_-]{0,62}\Z")
_FORBIDDEN = frozenset(map(chr, range(33))) | set('"#%/:<>?@[\\]^`{|}\x7f')
_EDGES = "".join(map(chr, range(33)))
_NUMERIC = re.compile(r"(?:[0-9]+|0[xX][0-9a-fA-F]*)\Z")


def host(text: str) -> str:
    """The canonical host: lower-case A-labels without trailing dot, or canonical address text.

    IPv4 in every spelling of ``inet_aton``, IPv4-mapped, IPv4-compatible and NAT64 IPv6 become dotted IPv4; other IPv6 is in
    the form of RFC 5952; brackets, zone ids, surrounding white space and trailing dots are off; percent-encoding is undone
    once; UTS #46 is applied. Idempotent. Raises ValueError on what is no host: a port, a path, an empty or too long label, a
    forbidden character, a last label that looks like a number in a name that is no address (WHATWG URL, "ends in a number").
    """
    if len(text) > 64:
        return _host(text)
    return _remembered(text)


def _host(text: str) -> str:
    if text.isascii() and len(text) <= MAX_HOST and _PLAIN.match(text):
        return text
    if len(text) > _MAX_RAW:
        raise ValueError("the host is too long")
    text = text.strip(_EDGES)
    if text[:1] == "[":
        if text[-1:] != "]":
            raise ValueError("a bracket is open")
        return _literal(text[1:-1])
    if text.count(":") > 1:
        return _literal(text)
    return _name(percent_decoded(text) if "%" in text else text)


_remembered = lru_cache(maxsize=_CACHED)(_host)


def cache_info() -> tuple[int, int]:
    """Hosts remembered and hosts forgotten again, since the start of the process."""
    info = _remembered.cache_info()
    return info.currsize, info.misses - info.currsize


def _literal(text: str) -> str:
    address = text.partition("%")[0]
    value = ipv6(address)
    if value is None:
        # The deployed clients read [1.2.3.4] as the IPv4 address that it is.
        plain = ipv4(address)
        if plain is None or ":" in address:
            raise ValueError("not an IPv6 address")
        return format4(plain)
    four = fold(value)
    return format6(value) if four is None else format4(four)


def percent_decoded(text: str) -> str:
    """``text`` with percent-encoding undone once. Raises ValueError when what comes out is not UTF-8 or is still encoded."""
    if _BAD_ESCAPE.search(text):
        raise ValueError("a percent sign that encodes nothing")
    raw = _ESCAPE.sub(lambda match: bytes((int(match[1], 16),)), text.encode("utf-8", "surrogatepass"))
    out = raw.decode("utf-8")
    if "%" in out:
        raise ValueError("the host is percent-encoded twice")
    return out


_BAD_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")
_ESCAPE = re.compile(rb"%([0-9a-fA-F]{2})")


def _name(text: str) -> str:
    text = text.lower() if text.isascii() else _from_unicode(text)
    if "xn--" in text:
        # An A-label may spell what it must not, so it is read as what it spells.
        text = _from_unicode(text)
    text = text.rstrip(".")
    if not text:
        raise ValueError("the host is empty")
    if not _FORBIDDEN.isdisjoint(text):
        raise ValueError("a character that no host may hold")
    if _NUMERIC.match(text, text.rfind(".") + 1):
        value = ipv4(text)
        if value is None:
            raise ValueError("it ends in a number and is no IPv4 address")
        return format4(value)
    if len(text) > MAX_HOST:
        raise ValueError("the host is longer than 253")
    for label in text.split("."):
        if not 0 < len(label) <= 63:
            raise ValueError("a label is empty or longer than 63")
    return text


def _from_unicode(text: str) -> str:
    from kaizen_security.contract.canonical_idna import ascii_name

    return ascii_name(text)


def transitional(text: str) -> str:
    """The host that an IDNA2003 client dials (Python's own resolver is one): sharp s and final sigma mapped, joiners dropped.

    Raises ValueError.
    """
    from kaizen_security.contract.canonical_idna import ascii_name

    return _name(ascii_name(text, transitional=True))


DEVIATIONS = frozenset("\u00df\u1e9e\u03c2\u200c\u200d")
"""Characters that IDNA2003 and IDNA2008 read differently."""
