"""What the user asked for in one run: the words, the classes of effect, and which of these he left to which source.

A request that names a source (a file, a page, an address) leaves to it only what is asked of that source: the effects of the
sentences that name it, and of those that name no source of their own. "Do what it says" counts from the sentence that names
the source on, so that "perform these tasks: read the page at …" leaves nothing to the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from kaizen_security.observer.effects import Effect, covered, wanted
from kaizen_security.observer.entities import PLACES, Kind, fold, kind_of, plain_words, tokens

LONGEST = 65_536
"""Characters read of a request."""

MOST_WORDS = 32_768
MOST_STEMS = 128
MOST_SENTENCES = 64
MOST_NAMES = 96

EXACT = PLACES | {Kind.FILE, Kind.ID}
"""Kinds of value that name one source and no other."""

PARTIES = frozenset({Kind.EMAIL, Kind.ACCOUNT, Kind.PHONE})
"""Kinds of value that name who gets something, and never what is read."""

NOTHING: frozenset[Effect] = frozenset()

_SENTENCE = re.compile(r"(?<=[.!?:;])\s+|\n+")
_HANDED = re.compile(
    r"\b(?:do|act|run|execute|perform|apply|handle|arrange|settle|carry out|see to|deal with|take care of)\b.{0,40}"
    r"\b(?:as|what|whatever|all|everything|anything)\b.{0,80}"
    r"\b(?:says|gives|asks|wants|tells|names|requests|requires|instructs|proposes|suggests)\b"
)
"""To do what somebody says; to be told what he says is something else."""


class Sentence(NamedTuple):
    """One sentence of a request. ``exact``: it names a source of its own."""

    words: frozenset[int]
    effects: frozenset[Effect]
    exact: bool


class Asked:
    """The requests of one run, bounded. ``words`` are hashes, ``stems`` the first different words in order.

    ``parties``  the kinds of party that they name: whoever says himself who gets it leaves that to no source
    """

    __slots__ = ("_covers", "_sentences", "effects", "parties", "stems", "words")

    def __init__(self) -> None:
        self.words: set[int] = set()
        self.stems: list[str] = []
        self.effects = NOTHING
        self.parties: set[Kind] = set()
        self._sentences: list[Sentence] = []
        self._covers: dict[str, bool] = {}

    def add(self, text: str) -> int:
        """One more request; returns how many words there was no room for."""
        found: list[str] = []
        for sentence in _SENTENCE.split(text[:LONGEST]):
            words = tokens(sentence)
            found += words
            if words and len(self._sentences) < MOST_SENTENCES:
                kinds = {kind_of(word) for word in words if not word.isalpha()}
                exact = not kinds.isdisjoint(EXACT)
                self.parties |= kinds & PARTIES
                self._sentences.append(Sentence(frozenset(map(hash, words)), _effects(sentence), exact))
        room = max(0, MOST_WORDS - len(self.words))
        self.words.update(map(hash, found[:room]))
        self.stems = list(dict.fromkeys([*self.stems, *found]))[:MOST_STEMS]
        self.effects = NOTHING.union(*(sentence.effects for sentence in self._sentences))
        self._covers = {}
        return max(0, len(found) - room)

    def says(self, parts: Sequence[int]) -> bool:
        """Whether every one of these hashes was said."""
        return bool(parts) and self.words.issuperset(parts)

    def covers(self, word: str) -> bool:
        """Whether the request says the word of a tool's name, or its beginning."""
        known = self._covers.get(word)
        if known is None:
            known = covered(word, self.stems)
            if len(self._covers) < MOST_NAMES:
                self._covers[word] = known
        return known

    def left_to(self, names: Iterable[Sequence[int]]) -> frozenset[Effect]:
        """The effects that were left to a source which these values name."""
        wanted_names = [frozenset(parts) for parts in names]
        naming = [
            number
            for number, sentence in enumerate(self._sentences)
            if any(sentence.words >= parts for parts in wanted_names)
        ]
        left: set[Effect] = set()
        for number, sentence in enumerate(self._sentences):
            if number in naming or not sentence.exact:
                later = bool(naming) and number >= naming[0]
                left |= sentence.effects if later else sentence.effects - {Effect.OPEN}
        return frozenset(left)


def _effects(sentence: str) -> frozenset[Effect]:
    # The words of a name ask for nothing: "site.example/todo" is no task.
    found = wanted(plain_words(sentence))
    return found | {Effect.OPEN} if _HANDED.search(fold(sentence)) else found
