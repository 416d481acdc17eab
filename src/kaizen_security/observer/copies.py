"""Fingerprints of texts: which words follow one another in them, so that a copy is found again whatever stands around it.

Three words in a row are one fingerprint (k-shingles: Broder 1997, "On the resemblance and containment of documents"). Before that,
spelling is made one: case, compatibility forms, accents, invisible characters, and letters of other scripts that look Latin. The
hashes are Python's keyed ones, which differ from process to process; no text is kept.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import islice

ROW = 3
"""Words in one fingerprint."""

_WORD = re.compile(r"\w+(?:[.@:/+'-]+\w+)*")
_LOOKALIKES = str.maketrans(
    "\u0430\u0441\u0501\u0435\u04bb\u0456\u0458\u043a\u04cf\u043c\u043e\u0440"
    "\u051b\u0455\u0442\u0475\u051d\u0445\u0443\u0432\u043d\u03b1\u03b5\u03b9"
    "\u03ba\u03bd\u03bf\u03c1\u03c4\u03c5\u03c7\u0585\u0578\u057d\u0570",
    "acdehijklmopqstvwxybhaeikvoptuxonuh",
)
"""Small letters of Cyrillic, Greek and Armenian that look like a Latin one (Unicode TR 39, the unambiguous ones)."""


def plain(text: str) -> str:
    """``text`` in one spelling, lower case."""
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFKD", text).casefold().translate(_LOOKALIKES)
    return "".join(char for char in text if unicodedata.category(char) not in ("Mn", "Cf"))


def words(text: str) -> list[str]:
    """The words of a text in order; a date, an address or a number with signs inside is one word."""
    # No word goes over white space, and most pieces between two of it are one word.
    pieces = plain(text).split()
    if all(map(str.isalnum, pieces)):
        return pieces
    found: list[str] = []
    for piece in pieces:
        if piece.isalnum():
            found.append(piece)
        else:
            found += _WORD.findall(piece)
    return found


def rows(found: list[str]) -> list[int]:
    """The fingerprint of every ``ROW`` words that follow one another."""
    return list(map(hash, zip(found, islice(found, 1, None), islice(found, 2, None), strict=False)))


def distinct(word: str) -> bool:
    """Whether a single word is nobody's common one: it holds a digit, or names an address, and is long enough."""
    return len(word) >= 6 and (not word.isalpha()) and (any(map(str.isdigit, word)) or "@" in word)
