"""Tool names, publishers and hashes in one spelling each."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_CACHED = 4096


def tool(name: str) -> str:
    """The form in which names are compared to DENY: NFKC, format and other invisible characters gone, case folded, white space
    collapsed and trimmed. Idempotent, never raises. Look-alikes of other scripts stay what they are.
    """
    return _tool(name) if len(name) <= 256 else _folded(name)


def publisher(name: str) -> str:
    """The same for a publisher."""
    return tool(name)


def _folded(name: str) -> str:
    if name.isascii() and name.isprintable():
        return " ".join(name.lower().split())
    for _ in range(8):
        once = unicodedata.normalize("NFKC", name).casefold()
        once = "".join(" " if char.isspace() else char for char in once if char.isspace() or not _invisible(char))
        once = unicodedata.normalize("NFKC", " ".join(once.split()))
        if once == name:
            break
        name = once
    return name


_tool = lru_cache(maxsize=_CACHED)(_folded)


def _invisible(char: str) -> bool:
    return (
        unicodedata.category(char) in ("Cf", "Cc")
        or char in _IGNORABLE
        or "\ufe00" <= char <= "\ufe0f"
        or char >= "\U000e0000"
    )


_IGNORABLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0")
"""Default-ignorable characters (Unicode, DerivedCoreProperties) that are neither Cf nor variation selectors."""


def permitted(name: str) -> str:
    """The form in which names are compared to PERMIT: trimmed and case folded, nothing else, so that no look-alike spelling of
    a permitted name is permitted. Idempotent, never raises.
    """
    name = name.strip()
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name).casefold().strip()


_DIGEST = re.compile(r"(?:(?:md5|sha-?(?:1|224|256|384|512))[:=-]\s*)*")


def digest(text: str) -> str:
    """A hash: trimmed, lower case, without the algorithm's name in front (``sha256:…``). Idempotent, never raises."""
    text = tool(text)
    match = _DIGEST.match(text)
    return text[match.end() :] if match else text
