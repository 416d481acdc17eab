"""Where the values of a run came from: the user's request, a field of a result, or a sentence of free text in one.

Everything is indexed when it arrives, so that a call costs only its own values. No text is kept: of a value its hash
(Python's keyed
one, which differs from process to process), of a sentence which words and entities stand in it. Bounded for each run; what
had to go
is counted, and a value whose place was forgotten counts as of unknown origin, which never makes a call look better.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

from kaizen_security.contract.action import Json
from kaizen_security.observer.effects import Effect, covered, wanted
from kaizen_security.observer.entities import PLACES, Kind, canonical, fingerprint, kind_of, places_in, tokens, whole
from kaizen_security.observer.habits import MOST_TOOLS, Habits
from kaizen_security.observer.outline import LONGEST, leaves
from kaizen_security.observer.rooms import MOST

MOST_RESULTS = 512
MOST_SENTENCES = 4096
MOST_FIELDS = 8192
MOST_WORDS = 32_768
MOST_PLACES = 16
"""Places that stand in one sentence's free text."""
RECENT = 24
"""Sentences remembered of one word: the latest."""

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n\s*\n|\n(?=\s*[-*\d#])|<[^<>]{0,200}>")


class Origin(NamedTuple):
    """``tool`` brought it in result number ``result`` of the run, under ``path``; ``sentence`` is -1 for a field."""

    tool: str
    path: str
    result: int
    sentence: int = -1


class Named(IntEnum):
    """LOOSELY: by words, such as those of a search. EXACTLY: as a file, a page, an address, an id."""

    NOT = 0
    LOOSELY = 1
    EXACTLY = 2


EXACT = PLACES | {Kind.FILE, Kind.ID}


@dataclass(slots=True)
class Source:
    """One result. ``named``: how the user named what was read.

    ``places``  hashes of places of each kind in its free text, at most ``MOST_PLACES``: who may be meant by a delegation
    """

    tool: str
    named: Named
    places: dict[Kind, set[int]]


@dataclass(frozen=True, slots=True)
class Call:
    """A call's own part, read once: its values with the hashes that a baseline knows them by, and its words."""

    tool: str
    name: tuple[str, ...]
    values: tuple[tuple[Value, int, int], ...]
    words: Mapping[str, int]
    effects: frozenset[Effect]
    writes: bool


class Value(NamedTuple):
    """One value of a call's arguments. ``parts`` are the hashes that must stand together; ``text`` lives as long as the call."""

    field: str
    text: str
    kind: Kind
    parts: tuple[int, ...]
    inside: bool = False


class Origins:
    """The index of one run."""

    __slots__ = (
        "_covers",
        "_fields",
        "_like",
        "_old",
        "_spot",
        "_words",
        "asked",
        "forgotten",
        "request_words",
        "sources",
        "unread",
        "used",
        "wanted",
    )

    def __init__(self) -> None:
        self.asked: set[int] = set()
        self.request_words: list[str] = []
        self.wanted: frozenset[Effect] = frozenset()
        self.sources: list[Source] = []
        self.used: dict[str, int] = {}
        self.forgotten = 0
        self.unread = 0
        self._fields: dict[int, list[Origin]] = {}
        self._words: dict[int, list[int]] = {}
        self._old: dict[int, list[int]] = {}
        self._spot: list[Origin] = []
        self._covers: dict[str, bool] = {}
        self._like: tuple[int, int, dict[int, float], dict[int, float]] | None = None

    # --- what arrives -----------------------------------------------------------------------------------------------------

    def request(self, text: str) -> None:
        """What the user asked; a later one adds to it."""
        if len(text) > LONGEST:
            self.unread += len(text) - LONGEST
        found = tokens(text[:LONGEST])
        room = MOST_WORDS - len(self.asked)
        self.forgotten += max(0, len(found) - room)
        self.asked.update(map(hash, found[: max(0, room)]))
        self.request_words = list(dict.fromkeys([*self.request_words, *found]))[:128]
        self.wanted = wanted(self.request_words)
        self._covers = {}

    def named(self, found: Iterable[Value]) -> Named:
        """How the user named what a call with these values reads."""
        kinds = {value.kind for value in found if self.by_user(value)} - {Kind.NUMBER, Kind.TEXT}
        return Named.EXACTLY if kinds & EXACT else Named.LOOSELY if kinds else Named.NOT

    def called(self, tool: str) -> None:
        """A call was let through."""
        if tool in self.used or len(self.used) < MOST_TOOLS:
            self.used[tool] = self.used.get(tool, 0) + 1

    def result(self, tool: str, content: Json, *, named: Named) -> None:
        """What a call brought back."""
        if content is None or content == "":
            return
        if len(self.sources) >= MOST_RESULTS:
            self.forgotten += 1
            return
        number = len(self.sources)
        source = Source(tool, named, {})
        self.sources.append(source)
        if isinstance(content, str) and len(content) > LONGEST:
            self.unread += len(content) - LONGEST
        for leaf in leaves(content):
            if not leaf.free:
                self._field(canonical(leaf.text), Origin(tool, leaf.path, number))
            if leaf.free or leaf.text.count(" ") > 1:
                self._sentences(leaf.text, tool, leaf.path, number, source)

    def _field(self, value: str, origin: Origin) -> None:
        if not value:
            return
        known = self._fields.get(hash(value))
        if known is None:
            if len(self._fields) >= MOST_FIELDS:
                self.forgotten += 1
                return
            self._fields[hash(value)] = [origin]
        elif len(known) < 4 and all(one[:2] != origin[:2] for one in known):
            known.append(origin)

    def _sentences(self, text: str, tool: str, path: str, number: int, source: Source) -> None:
        for sentence in _SENTENCE.split(text[:LONGEST]):
            found = tokens(sentence)
            if not found:
                continue
            spot = len(self._spot)
            if spot >= MOST_SENTENCES:
                self.forgotten += 1
                return
            self._spot.append(Origin(tool, path, number, spot))
            for word in dict.fromkeys(found):
                self._word(hash(word), spot)
                if not word.isalpha():
                    kind = kind_of(word)
                    if kind in PLACES:
                        known = source.places.setdefault(kind, set())
                        if len(known) < MOST_PLACES:
                            known.add(hash(word))

    def _word(self, word: int, spot: int) -> None:
        spots = self._words.get(word)
        if spots is None:
            if len(self._words) >= MOST_WORDS:
                # Two generations: the older one goes when the newer one is full.
                self.forgotten += len(self._old)
                self._old, self._words = self._words, {}
            self._words[word] = [spot]
        else:
            spots.append(spot)
            if len(spots) > RECENT:
                del spots[0]

    def frozen(self, call: Call) -> Origins:
        """What is known now, as far as it concerns one call: for scoring it later against other baselines."""
        copy = Origins()
        copy.asked, copy.request_words, copy.wanted = self.asked, self.request_words, self.wanted
        copy.sources, copy.used = list(self.sources), dict(self.used)
        copy._spot = list(self._spot)
        words = {hash(word) for word in call.words} | {part for value, _, _ in call.values for part in value.parts}
        copy._words = {word: list(spots) for word in words if (spots := self.spots(word))}
        copy._fields = {hash(value.text): list(found) for value, _, _ in call.values if (found := self.fields(value))}
        return copy

    # --- what is asked ------------------------------------------------------------------------------------------------------

    def likeness(self, habits: Habits, tool: str) -> tuple[float, float]:
        """How alike the most alike past request that led to ``tool`` is, and how well the words of this one go with it."""
        key = (habits.runs, len(self.request_words))
        if self._like is None or self._like[:2] != key:
            self._like = (*key, habits.alike(self.request_words), habits.goes_with(self.request_words))
        mark = fingerprint(tool)
        return self._like[2].get(mark & MOST, 0.0), self._like[3].get(mark, 0.0)

    def covers(self, word: str) -> bool:
        """Whether the request says the word of a tool's name, or its beginning."""
        known = self._covers.get(word)
        if known is None:
            known = covered(word, self.request_words)
            if len(self._covers) < MOST_TOOLS:
                self._covers[word] = known
        return known

    def by_user(self, value: Value) -> bool:
        """Whether the user said it."""
        return bool(value.parts) and all(part in self.asked for part in value.parts)

    def fields(self, value: Value) -> list[Origin]:
        """The fields of results that hold exactly this value."""
        return self._fields.get(hash(value.text), [])

    def holds(self, text: str) -> bool:
        """Whether a field of a result holds exactly this (canonical) value."""
        return hash(text) in self._fields

    def stands(self, text: str) -> bool:
        """Whether this (canonical) value stands anywhere in what was read."""
        return (
            self.holds(text) or self.sentence(Value("", text, kind_of(text), tuple(map(hash, whole(text))))) is not None
        )

    def spots(self, word: int) -> list[int]:
        """The sentences in which a word stands."""
        return self._words.get(word) or self._old.get(word, [])

    def sentence(self, value: Value) -> Origin | None:
        """The latest sentence (or two neighbours) in which all parts of the value stand."""
        if not value.parts:
            return None
        found: set[int] | None = None
        for part in value.parts:
            spots = self.spots(part)
            near = set(spots) if len(value.parts) == 1 else {spot + shift for spot in spots for shift in (0, 1)}
            found = near if found is None else found & near
            if not found:
                return None
        spot = min(max(found or ()), len(self._spot) - 1)
        return self._spot[spot]

    def best(self, words: Mapping[int, float], *, named: bool) -> tuple[Told, Told]:
        """The windows of one to three sentences in which most of the weight of ``words`` stands.

        The first in results that the user named (none if not ``named``), the second in all others.
        """
        near = far = NOTHING_TOLD
        total = sum(words.values())
        if total <= 0 or not self._spot:
            return near, far
        order = list(words)
        masks: dict[int, int] = {}
        score: dict[int, float] = {}
        for bit, word in enumerate(order):
            weight = words[word]
            for spot in self.spots(word):
                masks[spot] = masks.get(spot, 0) | 1 << bit
                score[spot] = score.get(spot, 0.0) + weight
        for spot in sorted(score, key=score.__getitem__, reverse=True)[:16]:
            origin = self._spot[spot]
            close = named and self.sources[origin.result].named > Named.NOT
            for first in (spot - 2, spot - 1, spot):
                mask = 0
                for one in range(first, first + 3):
                    if one in masks and self._spot[one].result == origin.result:
                        mask |= masks[one]
                share = _weight(mask, order, words) / total
                if share > (near if close else far).share:
                    told = Told(share, origin, frozenset(word for bit, word in enumerate(order) if mask >> bit & 1))
                    near, far = (told, far) if close else (near, told)
        return near, far


class Told(NamedTuple):
    """How much of a call one window of sentences explains, where it is, and which words."""

    share: float
    origin: Origin | None
    words: frozenset[int]


NOTHING_TOLD = Told(0.0, None, frozenset())


def _weight(mask: int, order: list[int], words: Mapping[int, float]) -> float:
    total = 0.0
    while mask:
        low = mask & -mask
        total += words[order[low.bit_length() - 1]]
        mask ^= low
    return total


MOST_VALUES = 64
MOST_CHARACTERS = 4096
"""Of all values of a call together that are looked at; longer texts are read for the entities at their beginning."""


def values(arguments: Json) -> list[Value]:
    """The values of a call's arguments, and the entities inside longer texts, bounded."""
    found: list[Value] = []
    budget = MOST_CHARACTERS
    for field, text in _flat(arguments, "", 0):
        if budget <= 0 or len(found) >= MOST_VALUES:
            break
        one = canonical(text[:budget])
        budget -= len(text)
        if not one:
            continue
        kind = kind_of(one)
        if kind is Kind.TEXT:
            found.append(Value(field, one, kind, ()))
            found += [Value(field, word, inner, (hash(word),), True) for word, inner in places_in(one)]
        else:
            found.append(Value(field, one, kind, tuple(map(hash, whole(one)))))
    return found[:MOST_VALUES]


def _flat(document: Json, path: str, depth: int) -> Iterable[tuple[str, str]]:
    if depth > 16 or document is None or isinstance(document, bool):
        return
    if isinstance(document, Mapping):
        for name, value in document.items():
            yield from _flat(value, f"{path}.{name}" if path else str(name), depth + 1)
    elif isinstance(document, (list, tuple)):
        for value in document:
            yield from _flat(value, path + "[]", depth + 1)
    else:
        text = str(document)
        if text:
            yield path or "$", text
