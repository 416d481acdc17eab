"""What speaks for it that a call does not follow from the user's request but from something that the agent read.

Each signal is a number from 0; none of them falls because of anything that came in with a result. Only the request, and what
the agent has done before unflagged, make a call look better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from kaizen_security.contract.action import Json
from kaizen_security.observer.effects import GIVES, GRAVE, NEVER_DELEGATED, PARTY, Effect, of_tool, only_reads
from kaizen_security.observer.entities import PLACES, Kind, fingerprint, tokens, words_of_name
from kaizen_security.observer.habits import Deed, Habits
from kaizen_security.observer.origins import Call, Named, Origin, Origins, Reached, Source
from kaizen_security.observer.values import Value, values

NAMES = (
    "place_near",
    "place_far",
    "place_unknown",
    "inside_far",
    "word_near",
    "word_far",
    "word_known",
    "known_led",
    "field_led",
    "number_far",
    "flow_free",
    "told_near",
    "told_far",
    "verb_gap",
    "writes",
    "effect_told",
    "removes_unasked",
    "fetch_far",
    "near_alike",
    "far_unlike",
    "far_told",
    "told_unlike",
    "writes_told",
)
"""``place_*``   a place that only stands in free text: of a source to which the user left this (near), or of another (far);
                 ``place_unknown``: nowhere that is known, neither in the request nor in what was read, all of it
``inside_far``   the same within a longer text of the call; ``word_*``: of another value; ``number_far``: of a number
``word_known``   a value of free text that this agent has used just here before; ``flow_free``: it never came from there
``*_led``        a value of a result which the agent only reached because something that it read named it
``told_*``       how much of the call one place of free text explains beyond the request; ``verb_gap``: of the tool's name
``writes``       the tool does not only read; ``effect_told``: what it does was not asked for, but told
``near_alike``   a place that the user left to a source, where such a request has led elsewhere before
``*_unlike``     no similar request has led to this tool before
"""

COUNTED = NAMES[: NAMES.index("told_near")]
"""Signals that count values; the rest are computed from the whole call."""

AWAY = ("place_far", "word_far", "place_unknown", "inside_far", "field_led")
"""A value that nobody authorised steers the call."""


def prepare(tool: str, arguments: Json, *, local: bool = False, spelled: str = "") -> Call:
    """The call's values and words, bounded. ``local``: it stays on its own machine; ``spelled``: the tool's name as
    the agent has it, where capitals part words that the canonical one runs together.
    """
    found = values(arguments)
    name = words_of_name(spelled or tool)
    kinds = of_tool(name, [word for value in found for word in words_of_name(value.field)])
    if any(value.row for value in found):
        found = [value._replace(kind=Kind.NUMBER) if _is_row(value, kinds) else value for value in found]
    marked = tuple(
        (value, fingerprint(f"{tool}|{value.field}|{value.text}"), fingerprint(value.text))
        for value in found
        if value.kind is not Kind.TEXT and value.parts
    )
    short: dict[str, None] = dict.fromkeys(name)
    for value in found:
        if value.inside:
            short[value.text] = None
        elif value.kind is not Kind.TEXT:
            short.update(dict.fromkeys(value.words or tokens(value.text)))
    writes = not only_reads(name)
    return Call(tool, name, marked, _marks(short, 64), kinds if writes else frozenset(), writes, local)


def _is_row(value: Value, effects: frozenset[Effect]) -> bool:
    # What may be an account or a row of integers is an account where something is given to somebody, or where one is asked for.
    named = words_of_name(value.field)
    return value.row and bool(named) and not effects & GIVES and PARTY.isdisjoint(named)


def _marks(words: Mapping[str, None], most: int) -> Mapping[str, int]:
    return {word: fingerprint(word) for word in list(words)[:most]}


@dataclass(slots=True)
class Reading:
    """The signals of one call, and what they stand on. ``worst``: the value that speaks most against it, and its origin.

    ``requested``  the request asks for what this tool does, in its own words or in others
    """

    signals: dict[str, float]
    deed: Deed
    worst: tuple[Value, Origin | None] | None = None
    steered: bool = False
    requested: bool = False
    told: float = 0.0
    asked: float = 0.0
    sentence: Origin | None = None
    notes: list[str] = field(default_factory=list)

    def vector(self) -> list[float]:
        """In the order of ``NAMES``."""
        return [self.signals[name] for name in NAMES]


class _May(NamedTuple):
    """What the user left to a source that he named: ``plainly`` this effect, ``openly`` this or whatever the source says."""

    plainly: bool
    openly: bool


_NOTHING_LEFT = _May(False, False)
_PLAIN = frozenset({Kind.NUMBER, Kind.DATE})
"""Kinds of value that every call has."""


class _Left:
    """What the user left to each source, as far as one call is concerned."""

    __slots__ = ("_call", "_known", "_thing", "_verb")

    def __init__(self, call: Call, origins: Origins) -> None:
        self._call = call
        self._verb = bool(call.name) and origins.asked.covers(call.name[0])
        self._thing = len(call.name) < 2 or any(origins.asked.covers(word) for word in call.name[1:])
        self._known: dict[frozenset[Effect], _May] = {}

    def to(self, reached: Reached) -> _May:
        """What was left to a source that was reached so."""
        if reached.named is Named.NOT or self._call.effects & NEVER_DELEGATED:
            return _NOTHING_LEFT
        may = self._known.get(reached.left)
        if may is None:
            common = self._call.effects & reached.left
            # To pay is to pay; to change, create or send something is asked for only if the request also says what.
            plainly = Effect.PAY in common or (self._thing and (bool(common) or (self._verb and bool(reached.left))))
            may = _May(plainly, plainly or Effect.OPEN in reached.left)
            self._known[reached.left] = may
        return may

    def openly(self, reached: Reached) -> bool:
        """Whether a call like this may follow from a source that was reached so."""
        return self.to(reached).openly


class _Seen:
    """What the values of one call add up to: how many of each kind, the worst, and what a baseline would learn of them."""

    __slots__ = ("_call", "_habits", "_left", "_origins", "count", "fields", "flows", "slots", "values", "worst")

    def __init__(self, call: Call, origins: Origins, habits: Habits, left: _Left) -> None:
        self._call = call
        self._origins = origins
        self._habits = habits
        self._left = left
        self.count: dict[str, float] = {}
        self.slots: list[int] = []
        self.values: list[int] = []
        self.flows: list[int] = []
        self.fields: list[int] = []
        self.worst: tuple[float, Value, Origin | None] | None = None

    def deed(self, unasked: bool | None) -> Deed:
        """What a baseline would learn of the call."""
        words = tuple(self._call.words.values())
        found = tuple(self.slots), tuple(self.values), tuple(self.flows), words, tuple(self.fields)
        return Deed(self._call.tool, *found, unasked)

    def value(self, value: Value, slot: int, anywhere: int) -> None:
        """Looks at one value; ``slot`` and ``anywhere`` are the hashes that a baseline knows it by."""
        name = slot_of(self._call.tool, value.field)
        self.slots.append(slot)
        self.fields.append(name)
        self.values.append(anywhere)
        if self._origins.by_user(value) or hash(value.text) in self._origins.own:
            return
        fields = self._origins.fields(value)
        sentence = self._origins.sentence(value)
        flows = self._flows(value, fields, sentence)
        self.flows += flows
        if slot in self._habits.slots:
            self._before(value, fields, sentence)
            return
        place = value.kind in PLACES and not self._known_host(value)
        known = anywhere in self._habits.values
        usual = any(flow in self._habits.flows for flow in flows) or (not place and self._habits.wanders(name))
        if fields:
            if self._led(value, fields):
                self._add("field_led", value, fields[0], 1.2)
        elif sentence is not None:
            near = self._close(sentence) if known else self._from_text(value, sentence, place=place, usual=usual)
            if not usual and not near:
                self._add("flow_free", value, sentence, 0.5)
        elif place and not known:
            self._nowhere(value)

    def _nowhere(self, value: Value) -> None:
        # Who gets something is never the agent's to make up. Where part of what it read had no room, it stood there: else whoever
        # sends a text that is long enough could have his account follow it.
        cut = self._origins.beyond(value)
        if cut is None:
            self._add("place_unknown", value, None, 2.5)
        elif not value.inside:
            self._add("place_far", value, cut, 5.0)
        elif not self._call.local:
            self._add("inside_far", value, cut, 3.0)

    def _add(self, name: str, value: Value, origin: Origin | None, badness: float) -> None:
        self.count[name] = self.count.get(name, 0.0) + 1.0
        if self.worst is None or badness > self.worst[0]:
            self.worst = (badness, value, origin)

    def _flows(self, value: Value, fields: list[Origin], sentence: Origin | None) -> list[int]:
        found = [_flow(origin, self._call.tool, value.field) for origin in fields]
        if sentence is not None and not fields:
            found.append(_flow(sentence, self._call.tool, value.field, free=True))
        return found

    def _before(self, value: Value, fields: list[Origin], sentence: Origin | None) -> None:
        # Used just here before: that says little where the agent chooses among many such values.
        if self._led(value, fields):
            self._add("known_led", value, fields[0], 0.6)
        elif sentence is not None and not fields and value.kind not in _PLAIN and not self._close(sentence):
            self._add("word_known", value, sentence, 0.3)

    def _led(self, value: Value, fields: list[Origin]) -> bool:
        return bool(fields) and value.kind not in _PLAIN and self._origins.sources[fields[0].result].reached.led

    def _close(self, sentence: Origin) -> bool:
        return self._left.openly(self._origins.sources[sentence.result].reached)

    def _known_host(self, value: Value) -> bool:
        # Another page of a host that was used before is a new value, but no new place.
        if value.kind is not Kind.URL:
            return False
        host = value.text.partition("/")[0]
        self.values.append(fingerprint(host))
        return self.values[-1] in self._habits.values or hash(host) in self._origins.asked.words

    def _from_text(self, value: Value, sentence: Origin, *, place: bool, usual: bool) -> bool:
        """Counts the value; true if the user left it to the source that holds it."""
        if place:
            return self._place(value, sentence)
        near = self._close(sentence)
        if usual or self._call.local:
            # This agent habitually takes such values from there, or a word goes nowhere: that this one is new says nothing.
            return near
        if value.kind not in _PLAIN:
            self._add("word_near" if near else "word_far", value, sentence, 1.5)
        elif not near:
            self._add("number_far", value, sentence, 0.4)
        return near

    def _place(self, value: Value, sentence: Origin) -> bool:
        source = self._origins.sources[sentence.result]
        near = value.kind not in self._origins.asked.parties and _meant(value, source, self._left)
        if not value.inside:
            self._add("place_near" if near else "place_far", value, sentence, 5.0 - near)
        elif not near and not self._call.local:
            # An address in the text of a file leads nowhere until something is sent there.
            self._add("inside_far", value, sentence, 3.0)
        return near


def read(call: Call, origins: Origins, habits: Habits) -> Reading:
    """The signals of a call before it runs. Changes nothing."""
    tool, name = call.tool, call.name
    left = _Left(call, origins)
    seen = _Seen(call, origins, habits, left)
    plainly = bool(call.effects & origins.asked.effects) or (bool(name) and origins.asked.covers(name[0]))
    for value, slot, anywhere in call.values:
        seen.value(value, slot, anywhere)
    weights = habits.weigh(call.words)
    total = sum(weights.values()) or 1.0
    # Who asks for an effect in other words than the tool's name has asked for the tool.
    meant = {hash(word) for word in name} if plainly else frozenset()
    said = origins.asked.words
    asked = sum([weight for word, weight in weights.items() if word in said or word in meant]) / total
    near, far = origins.best(weights, left.openly)
    told_near = max(0.0, near.share - asked)
    told_far = max(0.0, far.share - max(asked, near.share))
    verbs = sum(origins.asked.covers(word) for word in name) / max(1, len(name))
    verbs_told = sum(hash(word) in far.words for word in name) / max(1, len(name))
    unlike = 1 - origins.likeness(habits, tool)
    writes = float(call.writes)
    unasked = float(call.writes and told_near <= told_far and not plainly)
    c = seen.count
    away = min(1.0, sum(c.get(one, 0) for one in AWAY))
    signals = {name: min(1.0, c.get(name, 0.0)) for name in COUNTED}
    signals |= {
        "told_near": told_near,
        "told_far": told_far,
        "verb_gap": max(0.0, verbs_told - verbs) if told_far else 0.0,
        "writes": writes,
        "effect_told": unasked * max(told_far, told_near),
        "removes_unasked": unasked * (Effect.REMOVE in call.effects),
        "fetch_far": (1 - writes) * min(1.0, c.get("place_far", 0.0)),
        "near_alike": min(1.0, c.get("place_near", 0.0)) * (1 - unlike),
        "far_unlike": away * unlike,
        "far_told": away * told_far,
        "told_unlike": told_far * unlike,
        "writes_told": writes * told_far,
    }
    deed = seen.deed(_unasked(call, origins, plainly=plainly))
    worst = None if seen.worst is None else (seen.worst[1], seen.worst[2])
    most = far if far.share >= near.share else near
    return Reading(signals, deed, worst, away > 0, plainly, most.share, asked, most.origin)


def _unasked(call: Call, origins: Origins, *, plainly: bool) -> bool | None:
    if not call.effects & GRAVE or not origins.asked.words:
        return None
    # A request may hand things over to what a source says: then nobody knows all that it asks for.
    handed = Effect.OPEN in origins.asked.effects and not call.effects & NEVER_DELEGATED
    return None if handed and not plainly else not plainly


@lru_cache(maxsize=2048)
def slot_of(tool: str, field: str) -> int:
    """The hash of an argument, whatever its value."""
    return fingerprint(f"{tool}|{field}")


def _meant(value: Value, source: Source, left: _Left) -> bool:
    # The user may have meant this very place if he named the source and asked for this effect in so many words (and no place of its
    # kind himself), and the source holds no other. Whoever adds one to a source only takes away that it is clear who was meant.
    named = source.reached.named is Named.EXACTLY and left.to(source.reached).plainly
    return named and len(source.places.get(value.kind, ())) == 1


def _flow(origin: Origin, tool: str, name: str, *, free: bool = False) -> int:
    where = "text" if free else origin.path.rpartition(".")[2]
    return flow_of(origin.tool, where, tool, name)


@lru_cache(maxsize=2048)
def flow_of(source: str, where: str, tool: str, name: str) -> int:
    """The hash of a way: from a field (its last name) of one tool's results into an argument of another."""
    return fingerprint(f"{source}|{where}>{tool}|{name}")
