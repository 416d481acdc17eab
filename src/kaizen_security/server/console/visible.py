"""Text that an agent wrote, made safe to look at: escaped, bounded, and with everything that cannot be seen made visible.

Escaping keeps text from becoming markup. It does not keep it from lying: a right-to-left override swaps a host's ends, a zero-width
space splits a word, a pile of combining marks covers the row above (Unicode UTR 36, "Trojan Source" CVE-2021-42574). So what is
invisible, or moves what stands beside it, is shown as its code point.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Final

from markupsafe import Markup, escape

SHORT: Final = 96
"""Characters of one value in a list."""
LONG: Final = 4096
"""Characters of one value in the drawer: as much as the contract takes (``codec.MAX_TEXT``)."""

_MARKS: Final = 2
"""Combining marks that one letter may carry; the scripts that people write need no more."""
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_WIDE_BLANKS: Final = frozenset("\u00a0\u115f\u1160\u2800\u3164\uffa0\u034f\u17b4\u17b5")
"""Blanks that are no space, and fillers that show nothing though they count as letters."""


def cut(text: str, limit: int = SHORT) -> str:
    """``text`` in at most ``limit`` characters. The middle goes, for both the start and the end of a name tell who it is."""
    if len(text) <= limit:
        return text
    tail = limit // 3
    return f"{text[: limit - tail - 1]}…{text[-tail:] if tail else ''}"


def visible(text: str, limit: int = SHORT) -> Markup:
    """``text``, escaped and cut to ``limit`` characters, with what hides shown as ``U+202E``; set apart from the text around it.

    ``<bdi>`` keeps right-to-left words (which are legitimate) from reordering their neighbours.
    """
    pieces = [Markup("<bdi>")]
    for piece, hidden in _pieces(cut(text, limit)):
        pieces.append(Markup('<span class="odd">{}</span>').format(piece) if hidden else escape(piece))
    pieces.append(Markup("</bdi>"))
    return Markup("").join(pieces)


def visible_text(text: str, limit: int = SHORT) -> str:
    """The same for places that take no markup (a title, an option, a label for a screen reader); not escaped."""
    return "".join(f"[{piece}]" if hidden else piece for piece, hidden in _pieces(cut(text, limit)))


def _pieces(text: str) -> Iterator[tuple[str, bool]]:
    """Runs of what can be seen, and one by one the names of what cannot."""
    if text.isascii() and text.isprintable():
        yield text, False
        return
    run: list[str] = []
    marks = 0
    for char in text:
        marks = marks + 1 if unicodedata.category(char) in ("Mn", "Me") else 0
        if not _hides(char) and marks <= _MARKS:
            run.append(char)
            continue
        if run:
            yield "".join(run), False
            run = []
        yield f"U+{ord(char):04X}", True
    if run:
        yield "".join(run), False


def _hides(char: str) -> bool:
    return char in _WIDE_BLANKS or unicodedata.category(char) in _HIDDEN or (char.isspace() and char != " ")
