"""Likeness: how far a passage is worded as orders to a model are, for ``orders``: learnt weights of words and of their classes.

The other signs name what to look for; these weights were learnt from attacks and their harmless twins, from public documentation
and from tools of public servers (``tests/red_team/mcp/learn.py``). A passage is two sentences. Its score is a sum over the words
that it has, over their classes (``order_classes``: a person, a negation, a secret), and over each two classes that stand in it
together. So what speaks for it can be said, and one word that nobody knows takes little away.

Pure but for what it remembers of words; linear in the text.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise
from pathlib import Path

from kaizen_security.mcp.order_classes import CLASSES, of_word
from kaizen_security.mcp.order_kinds import END

LETTERS = 7
"""Letters of a word that count: its endings say little."""
LONGEST = 40
"""Words of a sentence; a longer one is several."""
MOST_KEPT, LONGEST_KEPT = 8192, 24
"""Words whose classes are remembered, and their letters at most; when there are more, all are forgotten."""
_CHINESE = re.compile("[^\u3040-\u30ff]*[\u4e00-\u9fff][^\u3040-\u30ff]*")
"""A word in Chinese: it counts for nothing. Too little harmless Chinese was learnt from, and ordinary pages were held for it."""
_END = re.compile(rf"[\n{END}]")
_TOKEN = re.compile(
    r"https?://\S*|(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}\.[a-z]{2,}|(?<!\w)(?:~|\.)/?[a-z][\w./-]*|\b[a-z]{2}\d\d(?:[a-z0-9]{4})*\b"
    r"|`|\{|<|'t\b|(?:[^\W\d_]|[\u0300-\u036f\u0590-\u05c7\u0610-\u065f\u0900-\u0dff\u0e00-\u0eff])+"
)
_SIGNS = {"`": "named", "{": "brace", "<": "angle", "'t": "not"}
NAMES = (*CLASSES, "place", "path", "named", "brace", "angle")
"""What a bit of a word's classes stands for."""
_BIT = {name: 1 << number for number, name in enumerate(NAMES)}
Passage = tuple[frozenset[str], int]
"""The beginnings of its words, and its classes."""


@dataclass(frozen=True, slots=True)
class Weights:
    """In hundredths; ``pairs`` by their two bits."""

    bias: int
    words: dict[str, int]
    classes: dict[str, int]
    pairs: dict[tuple[str, str], int]


@functools.cache
def _learnt() -> Weights:
    said = json.loads(Path(__file__).with_name("likeness.json").read_text())
    pairs = {(pair.split()[0], pair.split()[1]): weight for pair, weight in said["pairs"].items()}
    return Weights(said["bias"], said["words"], said["classes"], pairs)


def likeness(plain: str) -> tuple[int, str, str]:
    """The highest score of a passage of the text in hundredths (0 and more: rather an order than not), its beginning, and what
    speaks for it most. The text as ``order_plain`` makes it.
    """
    best: tuple[int, str, Passage] | None = None
    for said, passage in passages(plain):
        score = _score(passage)
        if best is None or score > best[0]:
            best = score, said.strip(" .!?\u3002"), passage
    return (-1000, "", "") if best is None else (best[0], best[1], reasons(best[2]))


def passages(plain: str) -> Iterator[tuple[str, Passage]]:
    """Each two sentences that follow each other: how they begin, and their words and classes."""
    sentences = [(said, _read(words)) for said, words in _sentences(plain)]
    if len(sentences) == 1:
        yield sentences[0]
    for (said, (words, classes)), (_, (further, more)) in pairwise(sentences):
        yield said, (words | further, classes | more)


def _sentences(plain: str) -> Iterator[tuple[str, list[str]]]:
    for sentence in _END.split(plain):
        words = sentence.split()
        for at in range(0, len(words), LONGEST):
            yield sentence, words[at : at + LONGEST]


def _read(words: list[str]) -> Passage:
    beginnings: set[str] = set()
    classes = 0
    for word in words:
        known = _kept.get(word) or _looked_up(word)
        beginnings.update(known[0])
        classes |= known[1]
    return frozenset(beginnings), classes


_kept: dict[str, tuple[tuple[str, ...], int]] = {}


def _looked_up(word: str) -> tuple[tuple[str, ...], int]:
    """The beginnings and the classes of what stands between two blanks."""
    tokens = [token for token in _TOKEN.findall(word) if token.isascii() or not _CHINESE.fullmatch(token)]
    classes = 0
    for token in tokens:
        classes |= _class_of(token)
    found = tuple(token[:LETTERS] for token in tokens if token.isalpha() or not token.isascii()), classes
    if len(word) <= LONGEST_KEPT:
        if len(_kept) >= MOST_KEPT:
            _kept.clear()
        _kept[word] = found
    return found


def _class_of(token: str) -> int:
    if token in _SIGNS:
        return _BIT[_SIGNS[token]]
    if "://" in token or "@" in token or any(map(str.isdecimal, token)):
        return _BIT["place"]
    if token[0] in "~.":
        return _BIT["path"]
    return of_word(token)


def named(passage: Passage) -> Iterator[tuple[str, str]]:
    """What counts in a passage: each word, class and pair of classes, as (which table, key)."""
    words, classes = passage
    for word in words:
        yield "words", word
    names = _names(classes)
    for name in names:
        yield "classes", name
    for one, other in combinations(names, 2):
        yield "pairs", f"{one} {other}"


@functools.lru_cache(maxsize=1024)
def _names(classes: int) -> tuple[str, ...]:
    return tuple(name for name in NAMES if classes & _BIT[name])


def _score(passage: Passage) -> int:
    learnt = _learnt()
    words = learnt.words
    score = _of_classes(passage[1])
    for word in passage[0]:
        score += words.get(word, 0)
    return score


@functools.lru_cache(maxsize=1024)
def _of_classes(classes: int) -> int:
    learnt = _learnt()
    names = _names(classes)
    score = learnt.bias + sum(learnt.classes.get(name, 0) for name in names)
    return score + sum(learnt.pairs.get(pair, 0) for pair in combinations(names, 2))


def reasons(passage: Passage) -> str:
    """The three things that speak for it most."""
    learnt = _learnt()
    words, classes = passage
    names = _names(classes)
    weights = {word: learnt.words.get(word, 0) for word in words}
    weights |= {name: learnt.classes.get(name, 0) for name in names}
    weights |= {f"{one} with {other}": learnt.pairs.get((one, other), 0) for one, other in combinations(names, 2)}
    return ", ".join(sorted((one for one in weights if weights[one] > 0), key=lambda one: -weights[one])[:3])
