"""Sieve: which kinds of sign a text may hold, by its words, for ``orders``.

A kind has stems, and cannot stand in a text without any of them. To look for some hundred stems is most of what reading a text
costs; but texts are made of the same words, and a word holds the same stems each time. So what a word may hold is kept, and a text
may hold what its words may. That is *may* too often and never too seldom: whoever asks then looks for the stems themselves.

Pure but for what it remembers; linear in the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

MOST_KEPT = 4096
"""Words that are kept; when there are more, all are forgotten, so that nobody can fill it for ever."""
LONGEST_KEPT = 24
"""Letters of a word that is kept."""
LEARNT_AT_ONCE = 4
"""Words of one text that are looked at one by one, to be kept; the others are looked at together."""

_DIGIT = re.compile(r"\d")
_LETTER = re.compile(r"[^\W\d_]")
_BLANK = re.compile(r"\s")


class Sieve:
    """``groups``: the stems of each kind, by which it is known; a group without stems may stand in every text."""

    def __init__(self, groups: Sequence[Sequence[str]]) -> None:
        self._always = 0
        self._pieces: dict[str, int] = {}
        self._kept: dict[str, int] = {}
        for number, stems in enumerate(groups):
            pieces = [_piece(stem) for stem in stems]
            if not all(pieces) or not pieces:
                self._always |= 1 << number
                continue
            for piece in pieces:
                self._pieces[piece] = self._pieces.get(piece, 0) | 1 << number
        # Numbers, which are looked at each time, hold nothing that has letters.
        self._unlettered = {piece: groups for piece, groups in self._pieces.items() if not _LETTER.search(piece)}

    def may(self, text: str) -> int:
        """A bit for each group, in order: 0 where the text holds none of its stems."""
        words = text.split()
        # Few words hold anything, so few answers differ: this is no loop over the words.
        answers = [*map(self._kept.get, words)]
        found = self._always
        for holds in {*answers}:
            if holds is None:
                found |= self._learnt(
                    [*dict.fromkeys(word for word, holds in zip(words, answers, strict=True) if holds is None)]
                )
            else:
                found |= holds
        return found

    def _learnt(self, words: list[str]) -> int:
        found, others, learnt = 0, [], 0
        for word in words:
            # Numbers and names of a moment are not kept: the next text has others.
            if learnt == LEARNT_AT_ONCE or len(word) > LONGEST_KEPT or _DIGIT.search(word):
                others.append(word)
                continue
            learnt += 1
            if len(self._kept) >= MOST_KEPT:
                self._kept.clear()
            self._kept[word] = holds = self._held_by(word)
            found |= holds
        return found | self._held_by(" ".join(others)) if others else found

    def _held_by(self, words: str) -> int:
        said = f" {words} "
        found = 0
        for piece, groups in (self._pieces if _LETTER.search(words) else self._unlettered).items():
            if piece in said:
                found |= groups
        return found


def _piece(stem: str) -> str:
    """The longest word of a stem, with blanks at its sides: where the stem stands, a word holds this. Empty: it has no word."""
    words = _BLANK.split(stem)
    last = len(words) - 1
    longest = max(range(len(words)), key=lambda at: len(words[at]))
    return f"{' ' if longest else ''}{words[longest]}{' ' if longest < last else ''}" if words[longest] else ""
