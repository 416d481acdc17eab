"""What of a target may leave the tenant (``contract.boundary``), and the keyed hash that stands for the rest."""

from __future__ import annotations

import hmac
import re
from itertools import pairwise

MAX_SEGMENTS = 8
"""Segments of a path that are kept; the rest becomes one hash."""

TOKEN = re.compile(r"~[0-9a-f]{16}")
_WORD = re.compile(r"[A-Za-z]{0,16}[0-9]{0,4}|v[0-9]{1,4}")
_SEGMENT = re.compile(r"[A-Za-z0-9._-]{1,32}|[A-Za-z]:")
SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,15})://")
_PORT = re.compile(r"(.*?)(?::([0-9]{1,5}))?")
_LABELS = re.compile(r"(?:[\w-]{1,63}\.)*[\w-]{1,63}\.?")
_IPV6 = re.compile(r"\[?[0-9A-Fa-f:.]{2,45}(?:%[A-Za-z0-9]{1,15})?\]?")
_TOP_LEVEL = re.compile(r"[A-Za-z]{2,18}|xn--[A-Za-z0-9-]{2,59}")
EMAIL = re.compile(r"[^\s@/?#]{1,128}@([\w.-]{1,253})")


def hashed(value: str, key: bytes) -> str:
    """``~`` and 16 hex digits: the first 64 bits of the HMAC-SHA256 (RFC 2104) of ``value``."""
    return "~" + hmac.digest(key, value.encode("utf-8", "surrogatepass"), "sha256")[:8].hex()


def hashed_once(value: str, key: bytes) -> str:
    """``hashed``, unless there is nothing, or it is one of our hashes already."""
    return value if not value or TOKEN.fullmatch(value) else hashed(value, key)


def outward_target(target: str, key: bytes) -> str:
    """Scheme, host and port as they are; of the path only what looks like words; nothing else as text.

    ``https://bob:pw@api.example/v1/orders/9f8e7d6c5b4a3f21?q=x#y`` becomes ``https://api.example/v1/orders/~4b1d…``; a text
    that is no place becomes one hash.
    """
    if not target:
        return ""
    scheme = SCHEME.match(target)
    if scheme:
        rest = target[scheme.end() :]
        cut = min((at for at in map(rest.find, "/\\?#") if at >= 0), default=len(rest))
        authority = rest[:cut].rpartition("@")[2]
        if authority and is_host(authority, bare=False):
            return f"{scheme[1]}://{authority}{_path(rest[cut:], key)}"
        return (
            f"{scheme[1]}://{hashed_once(authority, key)}{_path(rest[cut:], key)}"
            if authority
            else scheme[1] + "://" + _path(rest[cut:], key)
        )
    return _placeless(target, key)


def _placeless(target: str, key: bytes) -> str:
    """A target without a scheme: host, host:port, an address of a person, a path, a command line, or any other text."""
    if is_host(target, bare=True):
        return target
    person = EMAIL.fullmatch(target)
    if person:
        return f"{hashed_once(target.rpartition('@')[0], key)}@{person[1]}"
    first, space, rest = target.partition(" ")
    if space:
        return f"{_path(first, key)} {hashed_once(rest, key)}" if _is_path(first) else hashed(target, key)
    return _path(target, key) if "/" in target or "\\" in target or _is_path(target) else hashed_once(target, key)


def is_host(text: str, *, bare: bool) -> bool:
    """A host or an address, perhaps with a port. ``bare``: nothing but the text's own shape says so, so it has to look like
    one.
    """
    if _IPV6.fullmatch(text) and text.count(":") >= 2:
        return True
    host, port = text, ""
    if text.startswith("["):
        host, _, after = text.partition("]")
        return bool(_IPV6.fullmatch(host + "]")) and bool(re.fullmatch(r"(:[0-9]{1,5})?", after))
    match = _PORT.fullmatch(text)
    if match:
        host, port = match[1], match[2] or ""
    if len(host) > 253 or not _LABELS.fullmatch(host):
        return False
    if not bare or port:
        return True
    last = host.rstrip(".").rpartition(".")[2]
    if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3}){3}", host):
        return True
    return "." in host and bool(_TOP_LEVEL.fullmatch(last)) and all(len(label) <= 40 for label in host.split("."))


def _is_path(text: str) -> bool:
    return all(not segment or harmless(segment) for segment in re.split(r"[/\\]", text))


def _path(path: str, key: bytes) -> str:
    """A path with its harmless segments; each other one hashed; query and fragment gone."""
    path = re.split(r"[?#]", path, maxsplit=1)[0]
    parts = re.split(r"([/\\])", path)
    kept, segments = [], 0
    for i, part in enumerate(parts):
        if i % 2 or not part:
            kept.append(part)
            continue
        segments += 1
        if segments > MAX_SEGMENTS:
            kept.append(hashed_once("".join(parts[i:]), key))
            break
        kept.append(part if harmless(part) else hashed_once(part, key))
    return "".join(kept)


def harmless(segment: str) -> bool:
    """Short, made of at most four plain words and short numbers, or a hash of ours."""
    if TOKEN.fullmatch(segment):
        return True
    if not _SEGMENT.fullmatch(segment) or len(segment) > 32:
        return False
    words = re.split(r"[._:-]", segment)
    return len(words) <= 5 and all(_WORD.fullmatch(word) for word in words) and not _mixed(words)


def _mixed(words: list[str]) -> bool:
    """Capitals scattered through small letters, as in encoded data; ``ReadMe`` and ``README`` are words."""
    return any(len(word) >= 8 and sum(a.islower() and b.isupper() for a, b in pairwise(word)) > 1 for word in words)
