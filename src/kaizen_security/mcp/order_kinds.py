"""Kinds of signs for ``orders``: what one is, and the small grammar that their patterns are written in.

Patterns run on plain text: small letters, single blanks, a line a paragraph, ``END`` before what ends a sentence. Every gap is
bounded, and a part that was found is not looked for again (atomic groups), so a search is linear: gaps add up, and do not multiply.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

END = "\x1e"
"""Stands before a sign that ends a sentence; a dot in a name or an address does not."""
IN_SENTENCE = rf"[^\n{END}]"
"""A character within a sentence."""


def one_of(words: str) -> str:
    """Any of the words; an underscore stands for a blank."""
    return "(?:" + "|".join(re.escape(word).replace("_", "[ _-]") for word in words.split()) + ")"


def near(*parts: str, gap: int = 40) -> str:
    """The parts in this order in one sentence, at most ``gap`` characters between two."""
    return r"\b" + chain(parts, gap)


def chain(parts: Sequence[str], gap: int) -> str:
    """The parts in this order, each the first of its kind after the one before it."""
    first, *others = parts
    return first + "".join(f"(?>{IN_SENTENCE}{{0,{gap}}}?{part})" for part in others)


_compiled = functools.cache(re.compile)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of sign. ``stems``: a text without any of them cannot hold it, which is quickly seen; none: every text may.

    ``source`` becomes a pattern when a text first needs it: most servers never speak most languages.
    """

    name: str
    weight: int
    stems: tuple[str, ...]
    source: str

    @property
    def pattern(self) -> re.Pattern[str]:
        """What it looks like."""
        return _compiled(self.source)

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
    return Kind(name, weight, tuple(filter(None, stems.split("|"))), "|".join(patterns))
