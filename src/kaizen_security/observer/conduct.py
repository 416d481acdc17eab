"""How an agent goes about its work: the size, number, order and addressees of its actions, as hashes and counts.

``Trait`` is what one action shows of that, ``Conduct`` what the actions of one run add up to. No text is kept of either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from kaizen_security.contract import canonical
from kaizen_security.contract.action import EGRESS_KINDS, Action, Json
from kaizen_security.observer.entities import canonical as one_spelling
from kaizen_security.observer.entities import fingerprint, words_of_name
from kaizen_security.observer.figures import LONGEST, MOST, figure
from kaizen_security.observer.score import arguments

MOST_LEAVES = 2048
MOST_FIGURES = 64
DEEPEST = 8
MOST_KINDS = 64
"""Tools, and destinations, of one run that are told apart."""
MOST_TRAITS = 256
MOST_STEPS = 64
"""Actions of a run, the latest, whose order is remembered."""

_PARTY = re.compile(r"(?<![^@\s,;<>\"'])[^@\s,;<>\"']++@[^@\s,;<>\"']+\.[^@\s,;<>\"']+")

NAMES_A_THING = frozenset(
    words_of_name(
        "id ids identifier ref reference nr no code zip postcode phone mobile fax account iban bic card year date day month "
        "time timestamp version port page offset index line row seed serial ticket order invoice claim case issue entry bill"
    )
)
"""Words of arguments whose number names a thing, and is not large or small."""


LOGS_IN = frozenset(words_of_name("login logon signin signon authenticate auth authorize unlock"))
"""Words of tools that try who they are."""
_IN_TWO_WORDS = re.compile(r"(?:^|[\W_])(?:log|sign)[\W_](?:in|on)(?:[\W_]|$)")
SECRET = frozenset(words_of_name("password passwd pwd passphrase passcode secret credential pin otp"))
"""Words of arguments with which that is proved."""
MOST_TRIES = 32

_REFUSED = frozenset({401, 403, 407, 423})
_VERDICTS = ("ok", "success", "succeeded", "authenticated", "authorized", "authorised", "valid", "granted")
_CODES = ("status", "status_code", "code", "http_status")


class Tried(NamedTuple):
    """One value of a call that tries who it is. ``slot`` is the hash of tool and field, ``value`` that of the value in it."""

    slot: int
    field: str
    value: int
    text: str


class Figure(NamedTuple):
    """A number among the arguments. ``said`` is its text, to be looked for in the request."""

    field: str
    number: float
    said: str


@dataclass(frozen=True, slots=True)
class Trait:
    """What one action shows. ``tool`` and ``place`` are hashes of its tool (or kind) and of its destination, 0 for none.

    ``sent``     characters of its arguments, or the bytes that ground truth counted
    ``parties``  addressees among its arguments
    ``tried``    values of a call that tries who it is, empty for any other
    ``outward``  a connection; ``sensitive``: its reporter says that it reads sensitive data
    """

    tool: int
    place: int
    sent: int
    figures: tuple[Figure, ...]
    parties: int
    tried: tuple[Tried, ...] = ()
    sensitive: bool = False
    outward: bool = False


NOTHING_SHOWN = Trait(0, 0, 0, (), 0)


class Sums(NamedTuple):
    """What the first ``traits`` actions of a run add up to, beside a table of sizes (``of``) that had learned ``total`` numbers.

    ``ratios``  sum of how far their amounts lie above the usual ones, in logarithms, and ``number`` of these amounts
    ``sent``    characters, all together
    """

    of: object = None
    total: int = 0
    traits: int = 0
    ratios: float = 0.0
    number: int = 0
    sent: int = 0


@dataclass(slots=True)
class Conduct:
    """What the allowed actions of one run add up to so far; ``done`` are those that have completed. Bounded.

    ``tries``     values tried, by slot, and whether each came from nowhere that is known
    ``values``    of its calls, and how many of them were ``fresh``: never used there before
    ``refusals``  log-ins that were refused, by tool; ``asked``: ids of those that wait for their answer
    ``sums``      what ``done`` adds up to beside the baseline, as far as it was added up (``behaviour.Sums``)
    """

    calls: dict[int, int] = field(default_factory=dict)
    sent: dict[int, int] = field(default_factory=dict)
    walk: list[int] = field(default_factory=list)
    done: list[Trait] = field(default_factory=list)
    tries: dict[int, dict[int, bool]] = field(default_factory=dict)
    refusals: dict[int, int] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)
    values: int = 0
    fresh: int = 0
    sums: Sums | None = field(default=None, compare=False, repr=False)

    def take(self, trait: Trait, action_id: str = "", guessed: frozenset[int] = frozenset()) -> None:
        """An action was allowed. ``guessed``: those of its tried values that came from nowhere that is known."""
        for one in trait.tried:
            known = self.tries.setdefault(one.slot, {}) if len(self.tries) < MOST_TRIES else self.tries.get(one.slot)
            if known is not None and len(known) < MOST_TRIES:
                known.setdefault(one.value, one.value in guessed)
        if trait.tried and action_id and len(self.asked) < MOST_STEPS:
            self.asked[action_id] = trait.tool
        _add(self.calls, trait.tool, 1)
        if trait.place:
            _add(self.sent, trait.place, trait.sent)
        self.walk.append(trait.tool)
        if len(self.walk) > MOST_STEPS:
            del self.walk[0]

    def forget(self) -> None:
        """What was done will teach nothing."""
        self.done.clear()
        self.sums = None

    @property
    def novelty(self) -> float:
        """Share of the values of its calls that were never used there before."""
        return self.fresh / self.values if self.values else 0.0

    def answered(self, action_id: str, content: Json, *, failed: bool) -> None:
        """The result of an action came in."""
        tool = self.asked.pop(action_id, 0)
        if tool and (failed or refused(content)):
            _add(self.refusals, tool, 1)

    def completed(self, trait: Trait) -> None:
        """An allowed action has completed."""
        if len(self.done) < MOST_TRAITS:
            self.done.append(trait)


def refused(content: Json) -> bool:
    """Whether a result says, in a field of its own, that it was refused. Prose is not read."""
    if not isinstance(content, Mapping):
        return False
    if any(content.get(name) is False for name in _VERDICTS):
        return True
    return any(type(content.get(name)) is int and content.get(name) in _REFUSED for name in _CODES)


def _add(counts: dict[int, int], key: int, number: int) -> None:
    if key in counts or len(counts) < MOST_KINDS:
        counts[key] = counts.get(key, 0) + number


def trait_of(action: Action, where: str) -> Trait:
    """What an action shows; ``where`` is its canonical destination. Bounded whatever the arguments are."""
    if len(where) <= 256 and action.metadata.keys() <= {"source"}:
        return _without_arguments(action.kind, action.tool, where)
    return _trait_of(action, where)


@lru_cache(maxsize=1024)
def _without_arguments(kind: str, tool: str, where: str) -> Trait:
    return _trait_of(Action(kind=kind, tool=tool), where)


def _trait_of(action: Action, where: str) -> Trait:
    tool = canonical.tool(action.tool)
    sent, parties = 0, 0
    figures: list[Figure] = []
    texts: list[tuple[str, str]] = []
    for name, value in _leaves(arguments(action), "", 0):
        if isinstance(value, bool) or value is None:
            continue
        if isinstance(value, (int, float)):
            found = Figure(name, float(min(value, MOST)), str(value)[:LONGEST]) if value > 0 else None
            sent += 8
        else:
            text = str(value)
            sent += len(text)
            parties += min(len(_PARTY.findall(text[:2048])), 64) if "@" in text else 0
            found = _figure(name, text) if len(text) <= LONGEST else None
            if len(text) <= 128 and len(texts) < MOST_FIGURES:
                texts.append((name, text))
        if found is not None and len(figures) < MOST_FIGURES and found.number > 0 and not _names_a_thing(name):
            figures.append(found)
    counted = action.metadata.get("bytes_up")
    if isinstance(counted, int) and not isinstance(counted, bool) and counted > 0:
        sent = min(counted, 2**53)
    return Trait(
        tool=fingerprint(tool or action.kind),
        place=fingerprint(where) if where else 0,
        sent=sent,
        figures=tuple(figures),
        parties=parties,
        tried=_tried(tool, texts),
        sensitive=action.sensitive,
        outward=action.kind.strip().lower() in EGRESS_KINDS,
    )


def _tried(tool: str, texts: list[tuple[str, str]]) -> tuple[Tried, ...]:
    logs_in = not LOGS_IN.isdisjoint(words_of_name(tool)) or _IN_TWO_WORDS.search(tool) is not None
    if not logs_in and not any(not SECRET.isdisjoint(words_of_name(name)) for name, _ in texts):
        return ()
    found = []
    for name, text in texts:
        value = one_spelling(text)
        found.append(Tried(fingerprint(f"{tool}|{name}"), name, fingerprint(f"{tool}|{name}|{value}"), value))
    return tuple(found)


def _figure(name: str, text: str) -> Figure | None:
    number = figure(text)
    return None if number is None else Figure(name, number, text)


@lru_cache(maxsize=1024)
def _names_a_thing(name: str) -> bool:
    return not NAMES_A_THING.isdisjoint(words_of_name(name.rpartition(".")[2]))


def _leaves(document: Json, path: str, depth: int) -> Iterator[tuple[str, Json]]:
    todo: list[tuple[str, Json, int]] = [(path, document, depth)]
    left = MOST_LEAVES
    while todo and left > 0:
        path, value, depth = todo.pop()
        if isinstance(value, str):
            left -= 1
            yield path, value
        elif isinstance(value, Mapping) and depth < DEEPEST:
            for name, item in list(value.items())[:left]:
                todo.append((f"{path}.{name}"[:128] if path else str(name)[:128], item, depth + 1))
        elif isinstance(value, (list, tuple)) and depth < DEEPEST:
            todo += [(path + "[]", item, depth + 1) for item in value[:left]]
        else:
            left -= 1
            yield path, value
