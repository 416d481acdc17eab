"""Kinds of signs for ``orders``: what one is, and the small grammar that their patterns are written in.

Patterns run on plain text: small letters, single blanks, a line a paragraph. Every gap is bounded, so a search is linear.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

IN_SENTENCE = r"(?:[^.!?\n\u3002]|[.!?](?=\S))"
"""A character that does not end a sentence; a dot in a name or an address does not."""


def one_of(words: str) -> str:
    """Any of the words; an underscore stands for a blank."""
    return "(?:" + "|".join(re.escape(word).replace("_", "[ _-]") for word in words.split()) + ")"


def near(*parts: str, gap: int = 40) -> str:
    """The parts in this order in one sentence, at most ``gap`` characters between two."""
    return r"\b" + (IN_SENTENCE + f"{{0,{gap}}}?").join(parts)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of sign. ``stems``: a text without any of them cannot hold it, which is quickly seen; none: every text may."""

    name: str
    weight: int
    stems: tuple[str, ...]
    pattern: re.Pattern[str]

    def search(self, text: str) -> re.Match[str] | None:
        """The first place where it stands."""
        return self.pattern.search(text) if self._may(text) else None

    def finds(self, text: str) -> Iterator[re.Match[str]]:
        """Every place where it stands."""
        return self.pattern.finditer(text) if self._may(text) else iter(())

    def _may(self, text: str) -> bool:
        for stem in self.stems:
            # A loop and not ``any``: this runs a hundred times for each result, and a generator costs more than the search.
            if stem in text:
                return True
        return not self.stems


def kind(name: str, weight: int, stems: str, *patterns: str) -> Kind:
    """``stems``: separated by bars."""
    return Kind(name, weight, tuple(filter(None, stems.split("|"))), re.compile("|".join(patterns)))
