"""Hidden: text that a model reads and a person does not see, and controls that make a terminal show something else.

Pure, linear in the text. A definition of a tool has no use for any of it. In results some of it is ordinary (a joiner in an emoji
or in Persian, colours of a terminal), so only what has no other use than hiding counts there.
Sources: Unicode 16 (tags, variation selectors, bidirectional controls: UAX 9, UTR 36), ECMA-48 (terminal controls).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_INVISIBLE = "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u2060-\u2064\u206a-\u206f\u3164\ufeff\uffa0"
_SOFT = "\u00ad"
"""The soft hyphen: words that carry it are read whole by everybody, so it hides nothing."""
_FLAG = re.compile("\U0001f3f4[\U000e0061-\U000e007a\U000e0030-\U000e0039]{2,7}\U000e007f")
_TAGS = re.compile("[\U000e0000-\U000e007f]{2,}")
_SELECTORS = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{3,}")
_RUN = re.compile(f"[{_INVISIBLE}]{{6,}}")
_INSIDE = re.compile(f"[A-Za-z][{_INVISIBLE.removeprefix(_SOFT)}]+[A-Za-z]")
_OVERRIDE = re.compile("[\u202d\u202e]")
_BIDI = re.compile("[\u202a-\u202e\u2066-\u2069]")
_RIGHT_TO_LEFT = re.compile("[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]")
_WORD = re.compile(r"[^\W\d_]{4,}")
_LATIN = re.compile("[A-Za-z]")
_CYRILLIC = re.compile("[\u0400-\u04ff]")
_TERMINAL = re.compile("[\x1b\x9b]")
_CONCEALS = re.compile(
    r"(?:\x1b\[|\x9b)(?:[0-9]{1,3};)*8(?:;[0-9]{1,3})*m"  # SGR 8: concealed
    r"|(?:\x1b\]|\x9d)52;"  # writes the clipboard
    r"|\x1bP|\x90"  # device control strings
)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9a\x9c-\x9f]")


@dataclass(frozen=True, slots=True)
class Hidden:
    """``kind`` in words; ``shown``: what stands there, in visible letters, at most 200 characters."""

    kind: str
    shown: str


def hidden(text: str, *, definition: bool) -> Iterable[Hidden]:
    """What is hidden in ``text``. ``definition``: it describes a tool, where nothing may be hidden at all."""
    return () if text.isascii() and text.isprintable() else _hidden(text, definition)


def _hidden(text: str, definition: bool) -> Iterator[Hidden]:
    if not text.isascii():
        yield from _letters(text, definition)
    if _CONCEALS.search(text) or (definition and _TERMINAL.search(text)):
        yield Hidden("terminal controls", visible(text))
    if definition and _CONTROL.search(text):
        yield Hidden("control characters", visible(text))


def _letters(text: str, definition: bool) -> Iterator[Hidden]:
    tags = _TAGS.findall(_FLAG.sub("", text))
    if tags:
        said = "".join(chr(ord(sign) - 0xE0000) for run in tags for sign in run if 0xE0020 <= ord(sign) <= 0xE007E)
        yield Hidden("invisible text in tag characters", visible(said))
    if _SELECTORS.search(text):
        yield Hidden("data in variation selectors", visible(text))
    inside = len(_INSIDE.findall(text))
    if _RUN.search(text) or inside >= (1 if definition else 8):
        yield Hidden("invisible characters", visible(text))
    if definition and (word := _of_two_scripts(text)):
        yield Hidden("letters of two scripts in one word", visible(word))
    if _OVERRIDE.search(text) or (definition and _BIDI.search(text) and not _RIGHT_TO_LEFT.search(text)):
        yield Hidden("reversed writing direction", visible(text))


def _of_two_scripts(text: str) -> str:
    """A word in which Cyrillic letters stand for Latin ones, or the other way round; empty when there is none."""
    return next((word for word in _WORD.findall(text) if _LATIN.search(word) and _CYRILLIC.search(word)), "")


def visible(text: str) -> str:
    """``text`` with everything escaped that a person would not see, at most 200 characters."""
    shown = "".join(
        sign if sign.isprintable() and not _unseen(sign) else f"<{ord(sign):04x}>" for sign in text[:400].strip()
    )
    return shown[:200]


_UNSEEN = re.compile(f"[{_INVISIBLE}\ufe00-\ufe0f\U000e0000-\U000e01ef]")


def _unseen(sign: str) -> bool:
    return bool(_UNSEEN.match(sign))


def bare(text: str) -> str:
    """``text`` without what nobody sees: what a model may read between the letters."""
    if text.isascii():
        return text
    return _UNSEEN.sub("", _BIDI.sub("", text))
