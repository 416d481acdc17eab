"""Plain text for ``orders``: what a model makes of a text that was written so that a filter does not read it.

Compatibility letters become plain ones, nothing is invisible, letters that only look Latin are Latin, words that were spread letter
by letter are words, and what is coded in base64 is read as well. Pure, linear in the text.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

from kaizen_security.mcp.definitions import latin, may_be_latin
from kaizen_security.mcp.hidden import bare
from kaizen_security.mcp.order_kinds import END
from kaizen_security.mcp.order_words import EXAMPLE

MAX_TEXT = 96 << 10
"""Characters of one text that are looked at; of a longer one in a definition, half of them at its beginning and half at its end."""
MOST_PARTS = 4
"""Pieces of that length of one text in a result that are read; a model seldom reads as much."""
MAX_CODED = 16
"""Runs of base64 in one text that are decoded."""

SPREAD = 10
"""Letters that stand alone, from which on words are taken to be written letter by letter."""
FIGURED = 6
"""Words of letters and figures, from which on, if they are half of all, figures are read as the letters that they look like."""
BLANKS = 4
"""Blanks written as %20, from which on a text is read without percent signs."""
CODED = 24
"""Letters of the shortest run of base64 that is decoded: 18 bytes."""
_CODED = re.compile(rf"(?<![\w+/=])[A-Za-z0-9+/_-]{{{CODED},4096}}={{0,2}}(?![\w+/=])")
_WORD = re.compile(r"[^\W\d_]{3,}")
_BLANKS = " \t\r"
"""What may stand on an empty line."""
FIGURES = "013457@$"
_FIGURES = str.maketrans(FIGURES, "oieastas")
_FIGURED = re.compile(rf"(?<!\S)(?=\S{{0,20}}[a-zA-Z])(?=\S{{0,20}}[{FIGURES}])[\w@$]{{2,24}}(?!\w)")
_APART = re.compile(r"(?<!\S)[^\W\d_](?: [^\W\d_]){2,}(?!\S)")


def plain(text: str) -> str:
    """Small letters, one blank, a line a paragraph, no examples, and ``END`` before what ends a sentence."""
    ascii_only = text.isascii()
    if len(text) > MAX_TEXT:
        text = cut(text)
    text = (text if ascii_only else bare(text)).replace(END, " ")
    if not ascii_only:
        text = unicodedata.normalize("NFKC", text).replace("\u2019", "'").replace("\u2018", "'")
        text = text.replace("\u201c", '"').replace("\u201d", '"')
        if may_be_latin(text):
            text = _WORD.sub(lambda word: latin(word[0]), text)
    text = text.lower()
    read = _paragraphs(text) if "\n" in text else " ".join(text.split())
    # One sign after the other: each search stands still at nothing, a class of signs looks at every letter.
    if '"' in read or "'" in read or "`" in read or "\u00ab" in read:
        read = EXAMPLE.sub(" ", read)
    # Sign by sign as well: to replace what was found by a pattern costs ten times as much.
    for sign in ".!?":
        if sign in read:
            ended, cut_off = END + sign, read.endswith(sign)
            read = read.replace(sign + " ", ended + " ").replace(sign + "\n", ended + "\n")
            read = read[:-1] + ended if cut_off else read
    return read if ascii_only else read.replace("\u3002", END + "\u3002")


def _paragraphs(text: str) -> str:
    """A line for each paragraph, which ends at an empty line; of empty ones only the first and the last are lines."""
    lines = text.split("\n")
    breaks = [number for number, line in enumerate(lines[1:-1], 1) if not line.strip(_BLANKS)]
    if not breaks:
        return " ".join(text.split())
    starts = [0, *(number + 1 for number in breaks)]
    first, *middle, last = (
        " ".join(" ".join(lines[start:end]).split()) for start, end in zip(starts, [*breaks, len(lines)], strict=True)
    )
    return "\n".join([first, *filter(None, middle), last])


def cut(text: str) -> str:
    """A long text's beginning and end."""
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT // 2] + "\n\n" + text[-MAX_TEXT // 2 :]


def parts(text: str, lap: int) -> Iterator[str]:
    """A long text in pieces that are read one by one, each with the last ``lap`` characters of the one before; of a very long one
    the first pieces and its end.
    """
    step = MAX_TEXT - lap
    for number in range(MOST_PARTS - 1):
        at = number * step
        if at + MAX_TEXT >= len(text):
            break
        yield text[at : at + MAX_TEXT]
    yield text[-MAX_TEXT:]


def decoded(text: str) -> Iterable[tuple[str, str]]:
    """Readings of ``text`` that are not its letters as they stand: how it was written, and what it says then. Most have none."""
    text = cut(text)
    lengths = [*map(len, text.split())]
    apart = lengths.count(1) >= SPREAD and spread(text)
    figured = _figured(text, len(lengths))
    long = bool(lengths) and max(lengths) >= CODED
    return _readings(text, apart, figured, long) if apart or figured or long else ()


def _readings(text: str, apart: bool, figured: bool, long: bool) -> Iterator[tuple[str, str]]:
    if apart:
        yield "letters set apart", gathered(text)
    if figured:
        yield "figures for letters", text.translate(_FIGURES)
    if not long:
        return
    if text.count("%20") >= BLANKS:
        yield "text in percent signs", unquote(text)
    for n, run in enumerate(_CODED.findall(text)):
        if n == MAX_CODED:
            return
        said = _said(run)
        if said:
            yield "text in base64", said


def _figured(text: str, words: int) -> bool:
    """Whether most words have figures in the place of letters."""
    most = max(words, 2 * FIGURED)
    # Counted first, which is quick: such a word has one of the figures at least.
    return 2 * sum(map(text.count, FIGURES)) >= most and 2 * len(_FIGURED.findall(text)) >= most


def spread(text: str) -> bool:
    """Whether words are written letter by letter."""
    return _APART.search(text) is not None and sum(len(run) for run in _APART.findall(text)) >= 2 * SPREAD


def gathered(text: str) -> str:
    """The text with words that were spread letter by letter put together; two blanks stand between two of them."""
    return _APART.sub(lambda run: run[0].replace(" ", ""), text)


def _said(run: str) -> str:
    """What a run of base64 says, when that is text; else nothing."""
    whole = run.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        said = base64.b64decode(whole + "=" * (-len(whole) % 4), validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""
    return said if " " in said and all(sign.isprintable() or sign in "\n\t" for sign in said) else ""
