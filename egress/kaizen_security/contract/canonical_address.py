"""Addresses as numbers: every spelling of IPv4 that ``connect()`` takes, IPv6 text, and the IPv4 addresses inside IPv6 ones.

Sources: POSIX ``inet_aton`` as glibc reads it; RFC 4291 (IPv6 text), RFC 5952 (its one canonical form), RFC 6052 and RFC 8215
(NAT64), RFC 3056 (6to4), RFC 4380 (Teredo), RFC 5214 (ISATAP), RFC 2765 (IPv4-translated).
"""

from __future__ import annotations

from functools import lru_cache

MAX4 = 0xFFFF_FFFF
_MAPPED = 0xFFFF << 32
_NAT64 = 0x0064_FF9B << 96
_DECIMAL = frozenset("0123456789")
_OCTETS = {str(value): value for value in range(256)}
"""Looked up, an octet costs a third of reading it, and none is spelled with leading zeros."""
_OCTAL = frozenset("01234567")
_HEX = frozenset("0123456789abcdefABCDEF")


def ipv4(text: str) -> int | None:
    """The address that ``inet_aton`` reads from ``text``, or None: one to four parts, each decimal, ``0…`` octal or ``0x…``
    hex, the last one filling what is left. White space is not skipped.
    """
    parts = text.split(".", 4)
    if len(parts) > 4 or len(text) > 80:
        return None
    value = 0
    for i, part in enumerate(parts, 1):
        number = _part(part)
        if number is None:
            return None
        if i < len(parts):
            if number > 255:
                return None
            value = value << 8 | number
        else:
            bits = 8 * (5 - len(parts))
            if number >> bits:
                return None
            value = value << bits | number
    return value


def _part(text: str) -> int | None:
    if not text or text[0] not in _DECIMAL:
        return None
    if text[:2] in ("0x", "0X"):
        digits, allowed, base = text[2:], _HEX, 16
    elif text[0] == "0":
        digits, allowed, base = text, _OCTAL, 8
    else:
        digits, allowed, base = text, _DECIMAL, 10
    if not digits or not allowed.issuperset(digits):
        return None
    return int(digits, base)


def ipv6(text: str) -> int | None:
    """The address in IPv6 text (RFC 4291 section 2.2), or None. Neither brackets nor a zone."""
    if len(text) > 45 or ":" not in text:
        return None
    head, gap, tail = text.partition("::")
    left = _groups(head, last=not gap)
    right = _groups(tail, last=True)
    if left is None or right is None:
        return None
    missing = 8 - len(left) - len(right)
    if missing < 1 if gap else missing:
        return None
    value = 0
    for group in left + [0] * missing + right:
        value = value << 16 | group
    return value


def _groups(text: str, *, last: bool) -> list[int] | None:
    if not text:
        return []
    groups: list[int] = []
    parts = text.split(":")
    for i, part in enumerate(parts):
        if last and i == len(parts) - 1 and "." in part:
            number = _dotted(part)
            if number is None:
                return None
            groups += [number >> 16, number & 0xFFFF]
        elif 0 < len(part) <= 4 and _HEX.issuperset(part):
            groups.append(int(part, 16))
        else:
            return None
    return groups


def _dotted(text: str) -> int | None:
    """Four decimal parts without leading zeros: the only IPv4 text that is allowed inside IPv6 text."""
    parts = text.split(".")
    if len(parts) != 4 or any(len(part) > 3 or (len(part) > 1 and part[0] == "0") for part in parts):
        return None
    return ipv4(text)


def format4(value: int) -> str:
    """Dotted decimal."""
    return f"{value >> 24}.{value >> 16 & 255}.{value >> 8 & 255}.{value & 255}"


def format6(value: int) -> str:
    """RFC 5952: lower case, no leading zeros, the longest run of two or more zero groups (the first, if equal) as ``::``."""
    groups = [value >> shift & 0xFFFF for shift in range(112, -16, -16)]
    best, length, start = -1, 1, -1
    for i, group in enumerate([*groups, 1]):
        if group == 0:
            start = i if start < 0 else start
        elif start >= 0:
            if i - start > length:
                best, length = start, i - start
            start = -1
    if best < 0:
        return ":".join(f"{group:x}" for group in groups)
    left = ":".join(f"{group:x}" for group in groups[:best])
    right = ":".join(f"{group:x}" for group in groups[best + length :])
    return f"{left}::{right}"


def fold(value: int) -> int | None:
    """The IPv4 address that dialling this IPv6 address reaches, or None.

    IPv4-mapped (``::ffff:0:0/96``), the long deprecated IPv4-compatible (``::/96``, but not ``::`` and ``::1``) and NAT64's
    well-known prefix (``64:ff9b::/96``): the packet arrives at that very IPv4 host. Others are in ``embedded``.
    """
    prefix = value >> 32 << 32
    if prefix in (_MAPPED, _NAT64) or (prefix == 0 and value > 1):
        return value & MAX4
    return None


def embedded(value: int) -> tuple[int, ...]:
    """IPv4 addresses that an IPv6 address leads to without being them; a deny looks at these too, a permission never does.

    6to4 and Teredo carry the packet to a relay at, or behind, the IPv4 address, which may be another host (so they are not
    folded); ISATAP, IPv4-translated and the local NAT64 prefix mean it only where a network is set up so.
    """
    low = value & MAX4
    if value >> 112 == 0x2002:
        return (value >> 80 & MAX4,)
    if value >> 96 == 0x2001_0000:
        return (low ^ MAX4, value >> 64 & MAX4)
    if value >> 32 == 0xFFFF_0000 or value >> 80 == 0x0064_FF9B_0001 or (value >> 32 & 0xFCFF_FFFF) == 0x5EFE:
        return (low,)
    return ()


def number(text: str) -> tuple[int, int] | None:
    """``(4, value)`` or ``(6, value)`` of canonical address text; None for a name. Nothing is folded."""
    if ":" in text:
        value = ipv6(text)
        return None if value is None else (6, value)
    if text and text[-1] in _DECIMAL:
        value = ipv4(text)
        return None if value is None else (4, value)
    return None


@lru_cache(maxsize=4096)
def canonical_number(text: str) -> tuple[int, int] | None:
    """``number``, quicker, for a canonical host: then what ends in a digit and is no IPv6 is dotted decimal.

    None for any other spelling of IPv4, too.
    """
    if ":" in text:
        return number(text)
    if text[-1:] not in _DECIMAL:
        return None
    try:
        first, second, third, fourth = text.split(".")
        return 4, (_OCTETS[first] << 8 | _OCTETS[second]) << 16 | _OCTETS[third] << 8 | _OCTETS[fourth]
    except (KeyError, ValueError):
        return None
