"""Load: what one action carries out of its run, seen once for all detections that ask.

Credentials in it and whether this is their place; copies of what the run has read and whether they habitually go there; the tenants
behind the hosts that it names. Pure: it reads the run's marks and the agent's outflow, and changes neither.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import filterfalse
from typing import NamedTuple

from kaizen_security.contract import canonical
from kaizen_security.contract.action import Action
from kaizen_security.contract.canonical_values import builder
from kaizen_security.observer.canaries import NO_CANARIES, Canaries
from kaizen_security.observer.carried import Carried, Piece, Spot, carried, for_credentials
from kaizen_security.observer.copies import ROW, distinct, rows, words
from kaizen_security.observer.credentials import SHORTEST as LEAST_ISSUED
from kaizen_security.observer.credentials import Hit, find, issued
from kaizen_security.observer.decode import turned
from kaizen_security.observer.marks import GRAM, Marks, Origin
from kaizen_security.observer.outflow import Outflow, Taught, mark
from kaizen_security.observer.personal import CODE, numbers, short_numbers
from kaizen_security.observer.tenants import Tenant, tenants

SPLIT = 0.75
"""Share of a secret's characters that went to one place in pieces before it is a finding."""
SHORT_PIECE = 256
"""Characters up to which a piece may be a part of a secret that is sent in parts."""
SHORTEST = 8
"""Characters of the shortest credential that is looked for."""
NOBODY: frozenset[int] = frozenset()
FEWEST = 2
"""Rows of words that make a new flow: four words in a row, or three and three."""
MOST_GONE = 256
"""Rows remembered of one way; what is over makes no way longer."""
SPARED = 3
"""A part was spared when at most one in so many of its words went along."""
MOST_LEDGERS = 256


class Leak(NamedTuple):
    """A credential at a place where it is not at home. ``why`` says what is wrong with the place."""

    name: str
    piece: Piece
    size: int
    why: str
    read: Origin | None = None


class Copy(NamedTuple):
    """Something that was read stands in the action. ``rows``: how many rows of words went this way in the run, this action's among
    them; 0 when it is single values only.

    ``new``: this agent's flows are known, and this one is not among them
    """

    origin: Origin
    piece: Piece
    rows: int
    new: bool
    known: bool
    slot: int
    marks: tuple[int, ...]


class Stranger(NamedTuple):
    """A tenant with which this agent has not worked. ``why``: what is known of those with which it has."""

    tenant: Tenant
    why: str


@dataclass(frozen=True, slots=True)
class Load:
    """``pieces`` of secrets that went to the same place before count together: ``ledger`` is what this action would add."""

    carried: Carried
    leaks: tuple[Leak, ...]
    copies: tuple[Copy, ...]
    taught: Taught
    ledger: tuple[tuple[tuple[str, int, int], frozenset[int]], ...] = ()
    strangers: tuple[Stranger, ...] = ()


_load = builder(Load)

NOTHING_READ = Marks()
"""For an action without a run: nothing is known of what was read before it. Never written to."""


def load(action: Action, marks: Marks, outflow: Outflow, canaries: Canaries = NO_CANARIES) -> Load:
    """What the action carries."""
    seen = carried(action)
    tool = canonical.tool(action.tool) or action.kind
    place = tool + "|" + seen.host
    leaks, secrets = _leaks(seen, place, marks, outflow)
    ledger, split = _ledger(seen, place, marks)
    copies, flows, pairs, odd = _copies(seen, tool, marks, outflow)
    if seen.leaves and seen.much:
        pairs = (*pairs, _much(place))
    named = tenants(action)
    strangers = tuple(_strangers(named, marks, outflow)) if named else ()
    met = tuple((one.service, mark(one.service, one.name)) for one in named)
    taught = Taught(flows, pairs, secrets, met, odd)
    if canaries.names:
        leaks = [*_bait(seen, canaries), *leaks]
    return _load(seen, (*leaks, *split), copies, taught, ledger, strangers)


def sent_as_much(action: Action, load: Load, outflow: Outflow) -> int:
    """In how many harmless runs this agent's tool sent more than is looked at to where it sends this, which is as much."""
    place = (canonical.tool(action.tool) or action.kind) + "|" + load.carried.host
    return outflow.pairs[_much(place)] if load.carried.much else 0


@lru_cache(maxsize=1024)
def _much(place: str) -> int:
    return mark("more than is looked at", place)


def _strangers(named: tuple[Tenant, ...], marks: Marks, outflow: Outflow) -> Iterator[Stranger]:
    for one in named:
        why = outflow.new_tenant(one.service, mark(one.service, one.name))
        if why and not all(hash(word) in marks.asked for word in words(one.name)):
            yield Stranger(one, why)


def _bait(seen: Carried, canaries: Canaries) -> Iterator[Leak]:
    """Wherever it goes, also within this machine: there is no place where a canary belongs."""
    for piece in seen.pieces:
        texts = (piece.text, *(inner for _, inner in turned(piece.text)))
        name = next(filter(None, map(canaries.find, texts)), "")
        if name:
            yield Leak(f"canary {name}", piece, len(piece.text), "it was put out as bait, and nobody has a use for it")
            return


# --- credentials ----------------------------------------------------------------------------------------------------------


def _leaks(seen: Carried, place: str, marks: Marks, outflow: Outflow) -> tuple[list[Leak], tuple[int, ...]]:
    found: dict[tuple[int, str], Leak] = {}
    slots: list[int] = []
    read: dict[str, list[Hit]] = {}
    for piece in seen.pieces:
        if len(piece.text) < SHORTEST:
            continue
        if piece.text not in read:
            read[piece.text] = _hits(piece.text, piece.longest)
        for name, value, own, homes, origin in _credentials(piece, read[piece.text], marks):
            slot = mark(value, place, piece.field, piece.form)
            anywhere = mark(value)
            if own:
                # Where an issuer's token is used is learned; what merely stands under such a name is not worth a place.
                slots += [slot, anywhere]
            why = "" if slot in outflow.secrets else _wrong(piece, homes, origin, value, anywhere, marks, outflow)
            if why and seen.leaves:
                found.setdefault((hash(value), piece.field), Leak(name, piece, len(value), why, origin))
    return list(found.values()), tuple(dict.fromkeys(slots))


def _hits(text: str, longest: int) -> list[Hit]:
    hits = find(text, longest)
    # Turned about, a text has words of the same length.
    if longest < LEAST_ISSUED:
        return hits
    if len(set(text[:64])) >= SHORTEST and (len(text) <= SHORT_PIECE or " " not in text):
        for form, inner in turned(text):
            hits += [hit._replace(name=f"{hit.name}, {form}") for hit in issued(inner)]
    return hits


def _credentials(
    piece: Piece, hits: list[Hit], marks: Marks
) -> Iterator[tuple[str, str, bool, tuple[str, ...], Origin | None]]:
    text = piece.text
    told = set()
    for hit in hits:
        secret = marks.secrets.get(hash(hit.value))
        told.add(hit.value)
        if hit.issued or secret is not None or piece.form or piece.spot is not Spot.ARGUMENT:
            yield hit.name, hit.value, hit.issued, hit.homes, None if secret is None else secret.origin
    if marks.secrets:
        for word in {text.strip(), *_words(text)}:
            secret = marks.secrets.get(hash(word))
            if secret is not None and word not in told:
                yield secret.name, word, False, (), secret.origin
        for how, word in _respelled(text):
            secret = marks.secrets.get(hash(word))
            if secret is not None:
                yield f"{secret.name}, {how}", word, False, (), secret.origin


def _respelled(text: str) -> Iterator[tuple[str, str]]:
    """A short text and its words as they may have been before something was put between their letters, or they were turned."""
    if len(text) > SHORT_PIECE:
        return
    whole = text.strip()
    yield "reversed", whole[::-1]
    if " " in whole:
        yield "set apart", "".join(whole.split())
    for word in whole.split() if " " in whole or "-" in whole else ():
        if len(word) >= SHORTEST:
            yield "reversed", word[::-1]
            if "-" in word:
                yield "set apart", word.replace("-", "")


def _words(text: str) -> Iterator[str]:
    for word in text.split():
        bare = word.strip("\"'`,;:.!?()[]{}<>")
        yield bare
        for sign in "=:&":
            if sign in bare:
                yield from (part.strip("\"'`,;") for part in bare.split(sign))


def _wrong(
    piece: Piece,
    homes: tuple[str, ...],
    origin: Origin | None,
    value: str,
    anywhere: int,
    marks: Marks,
    outflow: Outflow,
) -> str:
    """What is wrong with a credential in this piece; ``""`` when this is where credentials belong."""
    if piece.spot is Spot.HOST:
        return "it is spelled in the labels of a host, which every resolver on the way reads"
    if piece.form and piece.form != "percent":
        return f"it is hidden as {piece.form}"
    own = bool(homes) and any(piece.host == home or piece.host.endswith("." + home) for home in homes)
    if own and (piece.spot is not Spot.ARGUMENT or for_credentials(piece.name)):
        return ""
    if for_credentials(piece.name) or piece.spot is Spot.USER:
        if anywhere in outflow.secrets:
            return "this agent uses it, but never there"
        if origin is not None and homes and piece.host and not own:
            return "it was read in this run and goes to a host that is not its issuer's"
        return ""
    if hash(value) in marks.told:
        return ""
    return f"the {piece.spot} {piece.field} is not a place for credentials"


def _ledger(
    seen: Carried, place: str, marks: Marks
) -> tuple[tuple[tuple[tuple[str, int, int], frozenset[int]], ...], list[Leak]]:
    """Which characters of which secrets are in the short pieces, together with those that went there before."""
    if not marks.grams or not seen.leaves:
        return (), []
    covered: dict[tuple[str, int, int], set[int]] = {}
    where: dict[tuple[str, int, int], Piece] = {}
    names = {}
    for piece in seen.pieces:
        if piece.form or for_credentials(piece.name):
            continue
        text = piece.text
        if len(text) > SHORT_PIECE:
            continue
        for at in range(len(text) - GRAM + 1):
            for secret, spelling, start in marks.grams.get(hash(text[at : at + GRAM]), ()):
                key = (place, id(secret), spelling)
                names[key] = secret
                where[key] = piece
                covered.setdefault(key, set()).update(range(start, start + GRAM))
    leaks = []
    for key, places in covered.items():
        before = marks.ledgers.get(key, set())
        secret = names[key]
        if before and len(before | places) >= SPLIT * secret.sizes[key[2]] and places - before:
            why = "it leaves in pieces: together with what went there before they make most of it"
            leaks.append(Leak(secret.name, where[key], secret.sizes[key[2]], why, secret.origin))
    return tuple((key, frozenset(places)) for key, places in covered.items()), leaks[:4]


def book(marks: Marks, load: Load) -> None:
    """Put what an action took along into the ledgers of the run. The emptiest ledger makes room, and is counted."""
    marks.passed |= marks.classes.keys()
    for key, places in load.ledger:
        marks.ledgers.setdefault(key, set()).update(places)
        if len(marks.ledgers) > MOST_LEDGERS:
            del marks.ledgers[min(marks.ledgers, key=lambda one: len(marks.ledgers[one]))]
            marks.evicted += 1
    for copy in load.copies:
        if copy.rows:
            gone = marks.gone.setdefault(copy.slot, set())
            gone.update(copy.marks[: MOST_GONE - len(gone)])
            if len(marks.gone) > MOST_LEDGERS:
                del marks.gone[min(marks.gone, key=lambda one: len(marks.gone[one]))]
                marks.evicted += 1


# --- copies ---------------------------------------------------------------------------------------------------------------


def _copies(
    seen: Carried, tool: str, marks: Marks, outflow: Outflow
) -> tuple[tuple[Copy, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    if not marks.sources:
        return (), (), (), ()
    said = [(piece, words(piece.text)) for piece in seen.pieces]
    found: dict[tuple[Origin, str, str], set[int]] = {}
    pieces: dict[tuple[Origin, str, str], Piece] = {}
    for piece, spoken in said:
        for origin, row in _found(piece, spoken, marks):
            key = (origin, piece.field, piece.form)
            pieces[key] = piece
            rows_found = found.setdefault(key, set())
            if row:
                rows_found.add(row)
    filled = dict.fromkeys(piece.field for piece in seen.pieces)
    pairs = (*_spared(said, tool, marks), *(_field_of(tool, field) for field in list(filled)[:32]))
    copies, flows, odd = [], [], []
    for key, row_marks in found.items():
        origin, piece = key[0], pieces[key]
        slot = _flow(origin, tool, piece, 0)
        rows_gone = len(row_marks | marks.gone.get(slot, NOBODY)) if row_marks else 0
        level = rows_gone.bit_length()
        slots = [slot, *(_flow(origin, tool, piece, step) for step in range(1, level + 1))]
        flows += slots
        usual = slots[level - 1 if level > 1 else level] in outflow.flows
        field = _field_of(tool, piece.field)
        if level and not usual:
            odd.append(field)
        new = rows_gone >= FEWEST and not usual and outflow.settled(_way(origin, tool), field)
        copies.append(Copy(origin, piece, rows_gone, new, usual, slot, tuple(row_marks)))
    return tuple(copies), tuple(dict.fromkeys(flows))[:64], pairs, tuple(dict.fromkeys(odd))


def _way(origin: Origin, tool: str) -> int:
    return _way_of(origin.source.tool, origin.part, tool)


# Names only, no values: an agent has few of them.
@lru_cache(maxsize=2048)
def _way_of(source: str, part: str, tool: str) -> int:
    return mark(source, part, tool)


@lru_cache(maxsize=2048)
def _field_of(tool: str, field: str) -> int:
    return mark(tool, field)


def _spared(said: list[tuple[Piece, list[str]]], tool: str, marks: Marks) -> list[int]:
    """The parts of what was read lately of which the action holds next to nothing.

    Not of a result that stays behind while another one of the same tool goes along: of three articles, each copied by a call of its
    own, none is spared by the others' calls.
    """
    held: set[int] = set()
    for _, spoken in said:
        held.update(map(hash, spoken))
    found: list[int] = []
    stays: list[tuple[str, list[str]]] = []
    along: set[str] = set()
    for source, parts in marks.recent.items():
        left = [part for part, known in parts.items() if known and len(known & held) * SPARED <= len(known)]
        if len(left) < len(parts):
            along.add(source.tool)
            found += [_way_of(source.tool, part, tool) for part in left]
        else:
            stays.append((source.tool, left))
    for name, left in stays:
        if name not in along:
            found += [_way_of(name, part, tool) for part in left]
    return found


def _flow(origin: Origin, tool: str, piece: Piece, level: int) -> int:
    form = "" if piece.form == "percent" else piece.form
    return mark(origin.source.tool, origin.part, tool, piece.field, form, level)


def _found(piece: Piece, spoken: list[str], marks: Marks) -> Iterator[tuple[Origin, int]]:
    """Where the words of a piece were read, and the row of words; 0 for a single value."""
    for row in marks.known(rows(spoken)) if len(spoken) >= ROW else ():
        origin = marks.origin(row)
        if origin is not None:
            yield origin, row
    singles = [hash(word) for word in filterfalse(str.isalpha, spoken) if distinct(word)]
    if marks.numbers:
        whole = "".join(filter(str.isalnum, piece.text)) if piece.spot is Spot.ARGUMENT else ""
        # A number that is an argument by itself is whom to pay; within a text it is told to somebody.
        singles += [hash(number) for number in numbers(piece.text) if number != whole]
        singles += [hash(CODE + word) for word in short_numbers(piece.text) if word != whole]
    for single in singles:
        origin = marks.origin(single)
        if origin is not None:
            yield origin, 0
