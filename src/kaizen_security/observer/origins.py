"""Where the values of a run came from: the user's request, a field of a result, or a sentence of free text in one.

Everything is indexed when it arrives, so that a call costs only its own values. No text is kept: of a value its hash (Python's
keyed one, which differs from process to process), of a sentence which words and entities stand in it. Bounded for each run; what
had to go is counted, and a place (an account, an address) that then stands nowhere that is known counts as one that stood there:
who fills the room must not get more than who does not. A text that is too long to be indexed is looked through for places.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from itertools import islice
from typing import NamedTuple

from kaizen_security.contract.action import Json
from kaizen_security.observer.asked import EXACT, NOTHING, Asked
from kaizen_security.observer.effects import Effect
from kaizen_security.observer.entities import PLACES, Kind, canonical, fingerprint, kind_of, places_read, tokens, whole
from kaizen_security.observer.habits import Habits
from kaizen_security.observer.outline import LONGEST, leaves, unread
from kaizen_security.observer.rooms import MOST
from kaizen_security.observer.values import Value
from kaizen_security.observer.windows import Windows

MOST_RESULTS = 512
MOST_SENTENCES = 4096
MOST_FIELDS = 8192
MOST_WORDS = 32_768
MOST_PLACES = 16
"""Places that stand in one sentence's free text."""
MOST_BEYOND = 4096
"""Places that stand in texts which are too long to be indexed."""
MOST_LOOKED = 1 << 19
"""Characters of such texts in one run that are looked through for places."""
MOST_STOOD = 256  # values whose place is remembered until the next result
UNREAD = -2
SURELY = 1.0 + 1e-9  # more than rounding can make of a sum
RECENT = 24
"""Sentences remembered of one word: the latest."""

_SENTENCE = re.compile(r"(?<=[.!?])\s+|\n\s*\n|\n(?=\s*[-*\d#])|<[^<>]{0,200}>")


class Origin(NamedTuple):
    """``tool`` brought it in result number ``result`` of the run, under ``path``; ``sentence`` is -1 for a field, ``UNREAD`` for
    what there was no room for.
    """

    tool: str
    path: str
    result: int
    sentence: int = -1


class Named(IntEnum):
    """LOOSELY: by words, such as those of a search. EXACTLY: as a file, a page, an address, an id."""

    NOT = 0
    LOOSELY = 1
    EXACTLY = 2


class Reached(NamedTuple):
    """How a call came to read what it read.

    ``named``  how the user named it
    ``left``   the effects that the user left to it
    ``led``    it was another thing that was read, and not the user, which named it
    """

    named: Named = Named.NOT
    left: frozenset[Effect] = NOTHING
    led: bool = False


UNASKED = Reached()

_MADE = frozenset({Kind.FILE, Kind.WORD, Kind.ID})
_PLAIN = frozenset({Kind.NUMBER, Kind.DATE, Kind.TEXT})
"""Kinds of value that name no source."""


@dataclass(slots=True)
class Source:
    """One result, and how it was reached.

    ``places``  hashes of places of each kind in its free text, at most ``MOST_PLACES``: who may be meant by a delegation
    """

    tool: str
    reached: Reached
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
    local: bool


class Origins:
    """The index of one run."""

    __slots__ = (
        "_beyond",
        "_fields",
        "_like",
        "_looked",
        "_old",
        "_spot",
        "_stood",
        "_words",
        "asked",
        "cut",
        "forgotten",
        "own",
        "sources",
        "unread",
    )

    def __init__(self) -> None:
        self.asked = Asked()
        self.cut: Origin | None = None
        self.own: set[int] = set()
        self.sources: list[Source] = []
        self.forgotten = 0
        self.unread = 0
        self._beyond: dict[int, Origin] = {}
        self._looked = 0
        self._fields: dict[int, list[Origin]] = {}
        self._words: dict[int, list[int]] = {}
        self._old: dict[int, list[int]] = {}
        self._spot: list[Origin] = []
        self._like: tuple[int, int, dict[int, float]] | None = None
        self._stood: dict[tuple[int, ...], Origin | None] = {}

    # --- what arrives -----------------------------------------------------------------------------------------------------

    def request(self, text: str) -> None:
        """What the user asked; a later one adds to it."""
        self.unread += max(0, len(text) - LONGEST)
        self.forgotten += self.asked.add(text)

    def reached(self, found: Iterable[Value]) -> Reached:
        """How a call with these values came to read what it reads."""
        telling = [value for value in found if value.kind not in _PLAIN and value.parts]
        names = [value for value in telling if self.by_user(value)]
        if not names:
            return Reached(led=any(self._led(value) for value in telling))
        named = Named.EXACTLY if any(value.kind in EXACT for value in names) else Named.LOOSELY
        exact = [value.parts for value in names if value.kind in EXACT] or [value.parts for value in names]
        led = any(self._led(value) for value in telling if value.kind in EXACT)
        return Reached(named, self.asked.left_to(exact), led)

    def _led(self, value: Value) -> bool:
        if self.by_user(value):
            return False
        fields = self.fields(value)
        if fields:
            # Where it was seen first: an echo of what was done with it proves nothing.
            return self.sources[fields[0].result].reached.led
        sentence = self.sentence(value)
        if sentence is None:
            return False
        reached = self.sources[sentence.result].reached
        return reached.named is not Named.EXACTLY and Effect.OPEN not in reached.left

    def made(self, call: Call) -> frozenset[int]:
        """The values of a call that the agent made itself: nobody said them, and they stand nowhere that was read before.

        Who gets something is never the agent's to make up.
        """
        return frozenset(
            hash(value.text)
            for value, _, _ in call.values
            if value.kind in _MADE
            and not self.by_user(value)
            and not self.fields(value)
            and self.sentence(value) is None
        )

    def called(self, made: frozenset[int]) -> None:
        """A call was let through that made these values: an echo of them is no origin."""
        if len(self.own) < MOST_FIELDS:
            self.own |= made

    def result(self, tool: str, content: Json, reached: Reached) -> None:
        """What a call brought back."""
        if content is None or content == "":
            return
        if len(self.sources) >= MOST_RESULTS:
            self._missed(tool, len(self.sources))
            return
        self._stood = {}
        number = len(self.sources)
        source = Source(tool, reached, {})
        self.sources.append(source)
        if isinstance(content, str) and len(content) > LONGEST:
            self.unread += len(content) - LONGEST
        found = list(leaves(content))
        rest = unread(content, found)
        if rest is None:
            self.cut = Origin(tool, "", number, UNREAD)
        else:
            self._look_through("\n".join(rest), Origin(tool, "", number, UNREAD))
        for leaf in found:
            if not leaf.free:
                self._field(canonical(leaf.text), Origin(tool, leaf.path, number))
            if leaf.free or leaf.text.count(" ") > 1:
                self._sentences(leaf.text, tool, leaf.path, number, source)

    def _look_through(self, text: str, origin: Origin) -> None:
        """Which places stand in a text that is too long to be indexed; where there is no room for them, anything may."""
        self._looked += len(text)
        if self._looked <= MOST_LOOKED and len(self._beyond) <= MOST_BEYOND:
            self._beyond |= dict.fromkeys(islice(map(hash, places_read(text)), MOST_BEYOND + 1), origin)
        if self._looked > MOST_LOOKED or len(self._beyond) > MOST_BEYOND:
            self.cut = origin

    def _field(self, value: str, origin: Origin) -> None:
        if not value:
            return
        known = self._fields.get(hash(value))
        if known is None:
            if len(self._fields) >= MOST_FIELDS:
                self._missed(origin.tool, origin.result)
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
                self._missed(tool, number)
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
                self._missed("", self._spot[spot].result, len(self._old))
                self._old, self._words = self._words, {}
            self._words[word] = [spot]
        else:
            spots.append(spot)
            if len(spots) > RECENT:
                del spots[0]

    def _missed(self, tool: str, number: int, count: int = 1) -> None:
        if count:
            self.forgotten += count
            self.cut = Origin(tool, "", number, UNREAD)

    def frozen(self, call: Call) -> Origins:
        """What is known now, as far as it concerns one call: for scoring it later against other baselines."""
        copy = Origins()
        copy.asked, copy.cut = self.asked, self.cut
        called = {hash(value.text) for value, _, _ in call.values}
        copy.own = self.own & called
        copy.sources = list(self.sources)
        copy._spot = list(self._spot)
        words = {hash(word) for word in call.words} | {part for value, _, _ in call.values for part in value.parts}
        copy._beyond = {one: origin for one in called | words if (origin := self._beyond.get(one))}
        copy._words = {word: list(spots) for word in words if (spots := self.spots(word))}
        copy._fields = {hash(value.text): list(found) for value, _, _ in call.values if (found := self.fields(value))}
        return copy

    # --- what is asked ------------------------------------------------------------------------------------------------------

    def likeness(self, habits: Habits, tool: str) -> float:
        """How alike the most alike past request that led to ``tool`` is, 0 to 1."""
        key = (habits.runs, len(self.asked.stems))
        if self._like is None or self._like[:2] != key:
            self._like = (*key, habits.alike(self.asked.stems))
        return self._like[2].get(fingerprint(tool) & MOST, 0.0)

    def by_user(self, value: Value) -> bool:
        """Whether the user said it."""
        return self.asked.says(value.parts)

    def fields(self, value: Value) -> list[Origin]:
        """The fields of results that hold exactly this value."""
        return self._fields.get(hash(value.text), [])

    def beyond(self, value: Value) -> Origin | None:
        """Where a place that stands nowhere that was indexed may have been read: in a text that was too long, or was not kept."""
        # Of a URL with a comma in it, say, one part is what names the place.
        found = map(self._beyond.get, (hash(value.text), *value.parts))
        return next(filter(None, found), self.cut)

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
        parts = value.parts
        if not parts:
            return None
        if parts not in self._stood:
            if len(self._stood) >= MOST_STOOD:
                self._stood = {}
            self._stood[parts] = self._standing(parts)
        return self._stood[parts]

    def _standing(self, parts: tuple[int, ...]) -> Origin | None:
        if len(parts) == 1:
            return self._spot[max(spots)] if (spots := self.spots(parts[0])) else None
        each = [self.spots(part) for part in parts]
        fewest = min(each, key=len)
        # The latest of two neighbours, or the one, where all of them stand.
        for spot in sorted({*fewest, *[one + 1 for one in fewest]}, reverse=True):
            for known in each:
                if spot not in known and spot - 1 not in known:
                    break
            else:
                return self._spot[min(spot, len(self._spot) - 1)]
        return None

    def best(self, words: Mapping[int, float], near_to: Callable[[Reached], bool]) -> tuple[Told, Told]:
        """The windows of one to three sentences in which most of the weight of ``words`` stands.

        The first in results to which the user left such a call (``near_to`` says so), the second in all others.
        """
        near = far = NOTHING_TOLD
        total = sum(words.values())
        if total <= 0 or not self._spot:
            return near, far
        score: dict[int, float] = {}
        known, older, scored = self._words.get, self._old.get, score.get
        for word, weight in words.items():
            for spot in known(word) or older(word) or ():
                score[spot] = scored(spot, 0.0) + weight
        windows = Windows(words, self.spots)
        place = self._spot
        for spot in sorted(score, key=score.__getitem__, reverse=True)[:16]:
            origin = place[spot]
            own, result, beside = score[spot], origin.result, 0
            most = own
            for one in (spot - 2, spot - 1, spot + 1, spot + 2):
                if one in score and place[one].result == result:
                    most += score[one]
                    beside |= 1 << one - spot + 2
            close = near_to(self.sources[result].reached)
            # No window holds more than all five sentences together: what cannot be the most so far is passed by.
            if most * SURELY <= (near if close else far).share * total:
                continue
            for mask in windows.around(spot, beside):
                weight = own if mask == windows.mask(spot) else windows.weight(mask)
                if weight / total > (near if close else far).share:
                    told = Told(weight / total, origin, windows.words(mask))
                    near, far = (told, far) if close else (near, told)
        return near, far


class Told(NamedTuple):
    """How much of a call one window of sentences explains, where it is, and which words."""

    share: float
    origin: Origin | None
    words: frozenset[int]


NOTHING_TOLD = Told(0.0, None, frozenset())
