"""What a text says after decoding: percent, base64, base32, hex, escapes, gzip and zlib, one within another.

Bounded against bombs: so many candidates a text, so deep, so many characters altogether. What does not decode to readable
text is not text. Pure, and linear in the characters that come in and go out.
"""

from __future__ import annotations

import binascii
import re
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple
from urllib.parse import unquote

DEEPEST = 4
"""Encodings within one another; a packed payload in base64 in a URL is three."""
MOST_SPELT = 16
MOST_CANDIDATES = 4096
"""Runs of one text that are tried; the longest. A list of packages of 250 KB, each with its digest, has no more."""
MOST_INFLATED = 256 << 10
"""Bytes taken out of one packed piece; the rest of it stays packed."""
MOST_DECODED = 256 << 10
"""Characters decoded of one action altogether."""

SHORTEST = 12
"""Characters of a run that may be encoded. Shorter ones are words."""

_LONG = re.compile(r"[A-Za-z0-9+/_=-]{12,}")
_JOINT = re.compile(r"[=/]")
_HEX = re.compile(r"[0-9a-fA-F]{12,}\Z")
_BASE32 = re.compile(r"(?:[A-Z2-7]{12,}|[a-z2-7]{12,})=*\Z")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]+={0,2}\Z")
_NUMBERS = re.compile(
    r"(?<![\d.])(?:3[2-9]|[4-9]\d|1[01]\d|12[0-6])(?:[,;. -]{1,2}(?:3[2-9]|[4-9]\d|1[01]\d|12[0-6])){11,}(?!\d)"
)
"""The numbers of twelve signs and more, as ``ord`` says them."""
_NUMBER = re.compile(r"\d+")
_PERCENT = re.compile(r"%[0-9a-fA-F]{2}")
_ESCAPE = re.compile(r"\\x([0-9a-fA-F]{2})|\\u([0-9a-fA-F]{4})|&#(\d{1,6});|&#x([0-9a-fA-F]{1,5});")
_DIGITS32 = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "0123456789ABCDEFGHIJKLMNOPQRSTUV")
_STANDARD = str.maketrans("-_", "+/")
_ROT13 = str.maketrans(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz", "NOPQRSTUVWXYZABCDEFGHIJKLMnopqrstuvwxyzabcdefghijklm"
)


class Decoded(NamedTuple):
    """``form`` names the encodings from the outermost: ``percent+base64+gzip``."""

    form: str
    text: str


class Budget:
    """How many characters may still come out, and how many runs of one text are tried. ``cut`` is true when some could not, or
    were not.
    """

    __slots__ = ("candidates", "cut", "left")

    def __init__(self, left: int = MOST_DECODED, candidates: int = MOST_CANDIDATES) -> None:
        self.left = left
        self.candidates = candidates
        self.cut = False

    def take(self, text: str) -> str:
        """As much of ``text`` as there is room for."""
        if len(text) > self.left:
            self.cut = True
            text = text[: self.left]
        self.left -= len(text)
        return text


def may_hold(text: str, longest: int) -> bool:
    """Whether anything encoded can be in a text whose longest word has so many characters."""
    return longest >= SHORTEST or "%" in text or "\\" in text or "&#" in text


def decoded(text: str, budget: Budget, form: str = "", depth: int = 0) -> Iterator[Decoded]:
    """Every reading of ``text`` and of what is inside it, outermost first. ``text`` itself is not among them."""
    if depth >= DEEPEST or len(text) < SHORTEST or budget.left <= 0:
        return
    for name, inner in _readings(text, budget):
        if not inner:
            continue
        inside = f"{form}+{name}" if form else name
        yield Decoded(inside, inner)
        yield from decoded(inner, budget, inside, depth + 1)


def turned(text: str) -> Iterator[Decoded]:
    """The text backwards and in ROT13: for what is found by its shape."""
    yield Decoded("reversed", text[::-1])
    yield Decoded("rot13", text.translate(_ROT13))


def rot13(word: str) -> str:
    """Each Latin letter 13 places on."""
    return word.translate(_ROT13)


def _readings(text: str, budget: Budget) -> Iterator[tuple[str, str]]:
    if "%" in text and _PERCENT.search(text):
        yield "percent", budget.take(unquote(text))
    if ("\\" in text or "&#" in text) and _ESCAPE.search(text):
        yield "escapes", budget.take(_ESCAPE.sub(_character, text))
    for inner in _spelt(text):
        yield "numbers", budget.take(inner)
    runs = _runs(text)
    if len(runs) > budget.candidates:
        budget.cut = True
        runs = sorted(runs, key=len, reverse=True)[: budget.candidates]
    for run in runs:
        if budget.left <= 0:
            budget.cut = True
            return
        for name, data in _bytes(run):
            packed, data = _inflated(data)
            inner = _readable(data)
            if inner:
                yield (f"{name}+{packed}" if packed else name), budget.take(inner)
                break


def _spelt(text: str) -> Iterator[str]:
    """What is spelt as the numbers of its signs."""
    for numbers in islice(_NUMBERS.finditer(text), MOST_SPELT):
        said = _readable(bytes(map(int, _NUMBER.findall(numbers[0][: 4 * MOST_DECODED]))))
        if said:
            yield said


def _runs(text: str) -> list[str]:
    # Prose has few words of twelve characters: they are found without a regular expression.
    words = [word for word in text.split() if len(word) >= SHORTEST]
    if not words:
        return []
    # Nothing that says something is spelled with four characters.
    found = [run for word in words for run in _LONG.findall(word) if len(set(run[:64])) > 4]
    # A value of a query or a segment of a path stands with its neighbours in one run.
    found += [part for run in found if "=" in run or "/" in run for part in _JOINT.split(run) if _HEX.match(part)]
    if len(words) > 1 and ("\n" in text or "\r" in text):
        # A long value that was wrapped into lines is one value.
        whole = "".join(words)
        if _BASE64.match(whole):
            found.append(whole)
    return found


def _bytes(run: str) -> Iterator[tuple[str, bytes]]:
    if _HEX.match(run):
        yield "hex", bytes.fromhex(run[: len(run) & ~1])
        if len(run) & 1:
            yield "hex", bytes.fromhex(run[1:])
    bare = run.rstrip("=")
    if _BASE32.match(run):
        # Digits of base 32 read as one number: forty times as fast as the library's loop.
        bits = len(bare) * 5
        yield "base32", (int(bare.upper().translate(_DIGITS32), 32) >> bits % 8).to_bytes(bits // 8, "big")
    if "=" not in bare:
        plain = bare.translate(_STANDARD)
        # A piece cut out of a longer value may begin in the middle of a group of four.
        for skipped in range(4 if len(bare) >= 2 * SHORTEST else 1):
            size = len(plain) - skipped
            yield "base64", binascii.a2b_base64(plain[skipped : len(plain) - (size % 4 == 1)] + "=" * (-size % 4))


def _inflated(data: bytes) -> tuple[str, bytes]:
    if data[:2] == b"\x1f\x8b":
        name, bits = "gzip", 31
    elif len(data) > 2 and data[0] & 15 == 8 and (data[0] << 8 | data[1]) % 31 == 0:
        name, bits = "zlib", 15
    else:
        return "", data
    try:
        return name, zlib.decompressobj(bits).decompress(data, MOST_INFLATED)
    except zlib.error:
        return "", data


def _readable(data: bytes) -> str:
    """The text in ``data``, ``""`` when it is none: it may end in the middle of a character."""
    if len(data) < 6:
        return ""
    try:
        text = data.decode()
    except UnicodeDecodeError as err:
        if err.start < len(data) - 3:
            return ""
        text = data[: err.start].decode()
    if text.isprintable():
        return text
    odd = sum(not (char.isprintable() or char in "\n\r\t") for char in text)
    return text if odd * 20 <= len(text) else ""


def _character(match: re.Match[str]) -> str:
    byte, unit, number, wide = match.groups()
    code = int(number) if number else int(byte or unit or wide, 16)
    return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else ""
