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
from itertools import chain, combinations, pairwise
from pathlib import Path
from typing import NamedTuple

from kaizen_security.mcp.order_classes import CLASSES, of_word
from kaizen_security.mcp.order_kinds import END

LETTERS = 7
"""Letters of a word that count: its endings say little."""
LONGEST = 40
"""Words of a sentence; a longer one is several."""
FAR = -300
"""Hundredths below which a place is no order, however its words are counted."""
MOST_KEPT, LONGEST_KEPT = 8192, 24
"""Words whose classes are remembered, and their letters at most; when there are more, all are forgotten."""
_UNSPACED = re.compile("[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")
"""Thai, Japanese and Chinese have no blanks between words: each two letters that stand together count for one."""
_END = re.compile(rf"[\n{END}]")
_WORD = re.compile(r"\S+")
_TOKEN = re.compile(
    r"https?://\S*|(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}\.[a-z]{2,}|(?<!\w)(?:~|\.)/?[a-z][\w./-]*|\b[a-z]{2}\d\d(?:[a-z0-9]{4})*\b"
    r"|`|\{|<|'t\b|(?:[^\W\d_]++|[\u0300-\u036f\u0590-\u05c7\u0610-\u065f\u0900-\u0dff\u0e00-\u0eff]++)++"
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


def likeness(plain: str) -> tuple[int, int, int]:
    """The place of the text that is worded most as orders are (0 and more: rather so than not), as of ``places``. The text as
    ``order_plain`` makes it.
    """
    return max(places(plain), default=(-1000, 0, 0))


def why(place: str) -> tuple[str, str]:
    """How such a place begins, and the three things that speak for it most."""
    found = max(passages(place), key=_score, default=(frozenset(), 0))
    return _END.split(place, 1)[0].strip(" .!?\u3002"), reasons(found)


def places(plain: str) -> Iterator[tuple[int, int, int]]:
    """Each two sentences that follow each other, or the only one: their score in hundredths, and where they begin and end.

    A word that stands in both counts once. Where they are far from an order also with it counted twice, that is their score.
    """
    before: Sentence | None = None
    followed = False
    for sentence in _sentences(plain):
        if before is not None:
            followed = True
            yield _together(before, sentence), before.at, sentence.end
        before = sentence
    if before is not None and not followed:
        yield _together(before, _NOTHING), before.at, before.end


def _together(one: Sentence, other: Sentence) -> int:
    rough = _learnt().bias + one.score + other.score + _of_classes(one.classes | other.classes)
    return rough if rough < FAR else _score(_passage(one, other))


def passages(plain: str) -> Iterator[Passage]:
    """What counts in each of the same places."""
    sentences = [*_sentences(plain)]
    if len(sentences) == 1:
        sentences.append(_NOTHING)
    for one, other in pairwise(sentences):
        yield _passage(one, other)


def _passage(one: Sentence, other: Sentence) -> Passage:
    words = one.words | other.words
    return frozenset(chain.from_iterable((_kept.get(word) or _looked_up(word))[2] for word in words)), (
        one.classes | other.classes
    )


class Sentence(NamedTuple):
    """Where it begins and ends, its words, their weights in hundredths and their classes."""

    at: int
    end: int
    words: set[str]
    score: int
    classes: int


_NOTHING = Sentence(0, 0, set(), 0, 0)


def _sentences(plain: str) -> Iterator[Sentence]:
    at = 0
    for said in _END.split(plain):
        every = said.split()
        for start, end, words in ((0, len(said), every),) if len(every) <= LONGEST else _pieces(said, every):
            score = classes = 0
            several = {*words}
            for word in several:
                known = _kept.get(word) or _looked_up(word)
                score += known[0]
                classes |= known[1]
            if words:
                yield Sentence(at + start, at + end, several, score, classes)
        at += len(said) + 1


def _pieces(said: str, every: list[str]) -> Iterator[tuple[int, int, list[str]]]:
    """A sentence that is longer than any, in pieces: where each begins and ends in it, and its words."""
    spans = [word.span() for word in _WORD.finditer(said)]
    for first in range(0, len(every), LONGEST):
        piece = spans[first : first + LONGEST]
        yield piece[0][0], piece[-1][1], every[first : first + LONGEST]


_kept: dict[str, tuple[int, int, tuple[str, ...]]] = {}


def _looked_up(word: str) -> tuple[int, int, tuple[str, ...]]:
    """The weight of what stands between two blanks, in hundredths and without its classes, its classes, and its beginnings."""
    beginnings, classes = _tokens(word)
    weights = _learnt().words
    found = sum(weights.get(one, 0) for one in beginnings), classes, beginnings
    if len(word) <= LONGEST_KEPT:
        if len(_kept) >= MOST_KEPT:
            _kept.clear()
        _kept[word] = found
    return found


def _tokens(word: str) -> tuple[tuple[str, ...], int]:
    """The beginnings and the classes of what stands between two blanks."""
    beginnings: dict[str, None] = {}
    classes = 0
    for token in _TOKEN.findall(word):
        classes |= _class_of(token)
        if token.isascii():
            if token.isalpha():
                beginnings[token[:LETTERS]] = None
        elif _UNSPACED.search(token):
            beginnings |= dict.fromkeys(map("".join, pairwise(token)))
        else:
            beginnings[token[:LETTERS]] = None
    return (*beginnings,), classes


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
    return learnt.bias + sum(learnt.words.get(word, 0) for word in passage[0]) + _of_classes(passage[1])


@functools.lru_cache(maxsize=1024)
def _of_classes(classes: int) -> int:
    learnt = _learnt()
    names = _names(classes)
    return sum(learnt.classes.get(name, 0) for name in names) + sum(
        learnt.pairs.get(pair, 0) for pair in combinations(names, 2)
    )


def reasons(passage: Passage) -> str:
    """The three things that speak for it most."""
    learnt = _learnt()
    words, classes = passage
    names = _names(classes)
    weights = {word: learnt.words.get(word, 0) for word in words}
    weights |= {name: learnt.classes.get(name, 0) for name in names}
    weights |= {f"{one} with {other}": learnt.pairs.get((one, other), 0) for one, other in combinations(names, 2)}
    return ", ".join(sorted((one for one in weights if weights[one] > 0), key=lambda one: (-weights[one], one))[:3])
