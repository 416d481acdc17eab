"""What speaks for it that a call does not follow from the user's request but from something that the agent read.

Each signal is a number from 0; none of them falls because of anything that came in with a result. Only the request, and what
the agent
has done before unflagged, make a call look better.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from kaizen_security.contract.action import Json
from kaizen_security.observer.effects import NEVER_DELEGATED, READS, Effect, of_tool
from kaizen_security.observer.entities import PLACES, Kind, fingerprint, tokens, words_of_name
from kaizen_security.observer.habits import Deed, Habits
from kaizen_security.observer.origins import Call, Named, Origin, Origins, Value, values

NAMES = (
    "place_near",
    "place_far",
    "place_unknown",
    "place_field",
    "place_inside",
    "word_near",
    "word_far",
    "number_far",
    "flow_free",
    "flow_field",
    "told_near",
    "told_far",
    "verb_gap",
    "tool_new",
    "unlike",
    "unpaired",
    "writes",
    "effect_unasked",
    "effect_told",
    "removes_unasked",
    "secret_unasked",
    "fetch_far",
    "far_unlike",
    "far_told",
    "told_unlike",
    "writes_told",
    "writes_unlike",
)


def prepare(tool: str, arguments: Json) -> Call:
    """The call's values and words, bounded."""
    found = values(arguments)
    name = words_of_name(tool)
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
            short.update(dict.fromkeys(tokens(value.text)))
    # The verb stands first or last: read_file, files.read.
    writes = not name or (name[0] not in READS and name[-1] not in READS)
    kinds = of_tool(name, [word for value in found for word in words_of_name(value.field)])
    return Call(tool, name, marked, _marks(short, 64), kinds if writes else frozenset(), writes)


def _marks(words: Mapping[str, None], most: int) -> Mapping[str, int]:
    return {word: fingerprint(word) for word in list(words)[:most]}


@dataclass(slots=True)
class Reading:
    """The signals of one call, and what they stand on. ``worst``: the value that speaks most against it, and its origin."""

    signals: dict[str, float]
    deed: Deed
    worst: tuple[Value, Origin | None] | None = None
    steered: bool = False
    told: float = 0.0
    asked: float = 0.0
    sentence: Origin | None = None
    notes: list[str] = field(default_factory=list)

    def vector(self) -> list[float]:
        """In the order of ``NAMES``."""
        return [self.signals[name] for name in NAMES]


@dataclass(slots=True)
class _Seen:
    """What the values of a call add up to."""

    count: dict[str, float] = field(default_factory=dict)
    slots: list[int] = field(default_factory=list)
    values: list[int] = field(default_factory=list)
    flows: list[int] = field(default_factory=list)
    fields: list[int] = field(default_factory=list)
    worst: tuple[float, Value, Origin | None] | None = None

    def add(self, name: str, value: Value, origin: Origin | None, badness: float) -> None:
        self.count[name] = self.count.get(name, 0.0) + 1.0
        if self.worst is None or badness > self.worst[0]:
            self.worst = (badness, value, origin)


class _May(NamedTuple):
    """What the user left to a source that he named: ``plainly`` this effect, ``openly`` this or whatever the source says."""

    plainly: bool
    openly: bool


def _left_open(call: Call, origins: Origins) -> _May:
    # To pay is to pay; to change, create or send something is asked for only if the request also says what.
    common = call.effects & origins.wanted
    verb = bool(call.name) and origins.covers(call.name[0])
    thing = any(origins.covers(word) for word in call.name[1:])
    plainly = Effect.PAY in common or ((bool(common) or verb) and (thing or len(call.name) < 2))
    delegable = not call.effects & NEVER_DELEGATED
    return _May(plainly and delegable, (plainly or Effect.OPEN in origins.wanted) and delegable)


def read(call: Call, origins: Origins, habits: Habits) -> Reading:
    """The signals of a call before it runs. Changes nothing."""
    seen = _Seen()
    tool, name = call.tool, call.name
    may = _left_open(call, origins)
    plainly = bool(call.effects & origins.wanted) or (bool(name) and origins.covers(name[0]))
    for value, slot, anywhere in call.values:
        _value(call, value, slot, anywhere, origins, habits, seen, may)
    weights = {hash(word): habits.weight(mark) for word, mark in call.words.items()}
    total = sum(weights.values()) or 1.0
    # Who asks for an effect in other words than the tool's name has asked for the tool.
    meant = {hash(word) for word in name} if plainly else frozenset()
    asked = sum(weight for word, weight in weights.items() if word in origins.asked or word in meant) / total
    near, far = origins.best(weights, named=may.openly)
    told_near = max(0.0, near.share - asked)
    told_far = max(0.0, far.share - max(asked, near.share))
    verbs = sum(origins.covers(word) for word in name) / max(1, len(name))
    verbs_told = sum(hash(word) in far.words for word in name) / max(1, len(name))
    alike, pairs = origins.likeness(habits, tool)
    writes = float(call.writes)
    unasked = float(call.writes and not (may.openly if told_near > told_far else plainly))
    c = seen.count
    away = min(1.0, sum(c.get(one, 0) for one in ("place_far", "word_far", "place_unknown", "place_inside")))
    unlike = 1 - alike
    signals = {name: min(1.0, c.get(name, 0.0)) for name in NAMES[:10]}
    signals |= {
        "told_near": told_near,
        "told_far": told_far,
        "verb_gap": max(0.0, verbs_told - verbs) if told_far else 0.0,
        "tool_new": float(not habits.tools[fingerprint(tool)]),
        "unlike": unlike,
        "unpaired": 1 - pairs,
        "writes": writes,
        "effect_unasked": unasked,
        "effect_told": unasked * max(told_far, told_near),
        "removes_unasked": unasked * (Effect.REMOVE in call.effects),
        "secret_unasked": unasked * (Effect.SECRET in call.effects),
        "fetch_far": (1 - writes) * min(1.0, c.get("place_far", 0.0)),
        "far_unlike": away * unlike,
        "far_told": away * told_far,
        "told_unlike": told_far * unlike,
        "writes_told": writes * told_far,
        "writes_unlike": writes * unlike,
    }
    deed = Deed(
        tool,
        tuple(seen.slots),
        tuple(seen.values),
        tuple(seen.flows),
        tuple(call.words.values()),
        tuple(seen.fields),
    )
    worst = None if seen.worst is None else (seen.worst[1], seen.worst[2])
    told, where = max((far.share, far.origin), (near.share, near.origin), key=lambda one: one[0])
    return Reading(signals, deed, worst, away > 0, told, asked, where)


def _value(
    call: Call, value: Value, slot: int, anywhere: int, origins: Origins, habits: Habits, seen: _Seen, may: _May
) -> None:
    tool = call.tool
    seen.slots.append(slot)
    seen.fields.append(slot_of(tool, value.field))
    seen.values.append(anywhere)
    if origins.by_user(value):
        return
    fields = origins.fields(value)
    flows = [_flow(origin, tool, value.field) for origin in fields]
    sentence = None if fields else origins.sentence(value)
    if sentence is not None:
        flows.append(_flow(sentence, tool, value.field, free=True))
    seen.flows += flows
    known, place = anywhere in habits.values, value.kind in PLACES
    place = place and not _known_host(value, origins, habits, seen)
    if slot in habits.slots:
        return
    usual = any(flow in habits.flows for flow in flows) or (not place and habits.wanders(slot_of(tool, value.field)))
    if fields:
        if not usual:
            seen.add("flow_field", value, fields[0], 0.5 + place)
            if place and not known:
                seen.add("place_field", value, fields[0], 2.0)
    elif sentence is not None:
        near = _from_text(value, sentence, origins, seen, place=place, known=known, usual=usual, may=may)
        if not usual and not near:
            seen.add("flow_free", value, sentence, 0.5)
    elif place and not known:
        seen.add("place_unknown", value, None, 2.5)


def _known_host(value: Value, origins: Origins, habits: Habits, seen: _Seen) -> bool:
    # Another page of a host that was used before is a new value, but no new place.
    if value.kind is not Kind.URL:
        return False
    host = value.text.partition("/")[0]
    seen.values.append(fingerprint(host))
    return seen.values[-1] in habits.values or hash(host) in origins.asked


def slot_of(tool: str, field: str) -> int:
    """The hash of an argument, whatever its value."""
    return fingerprint(f"{tool}|{field}")


def _from_text(
    value: Value, sentence: Origin, origins: Origins, seen: _Seen, *, place: bool, known: bool, usual: bool, may: _May
) -> bool:
    """Counts the value; true if the user left it to the source that holds it."""
    source = origins.sources[sentence.result]
    near = may.openly and source.named > Named.NOT
    if known:
        return near
    if place and value.inside:
        seen.add("place_inside", value, sentence, 3.0)
        return False
    if place:
        # The user may have meant this very place if he named the source and asked for this effect in so many words, and the source
        # holds no other place of its kind. Whoever adds one to a source only takes away that it is clear who was meant.
        near = may.plainly and source.named is Named.EXACTLY and len(source.places.get(value.kind, ())) == 1
        seen.add("place_near" if near else "place_far", value, sentence, 4.0 if near else 5.0)
    elif usual:
        # This agent habitually takes such values from there: that this one is new says nothing.
        return near
    elif value.kind not in (Kind.NUMBER, Kind.DATE):
        seen.add("word_near" if near else "word_far", value, sentence, 1.5)
    elif not near:
        seen.add("number_far", value, sentence, 0.4)
    return near


def _flow(origin: Origin, tool: str, name: str, *, free: bool = False) -> int:
    where = "text" if free else origin.path.rpartition(".")[2]
    return fingerprint(f"{origin.tool}|{where}>{tool}|{name}")
