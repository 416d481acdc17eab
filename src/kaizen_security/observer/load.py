"""Load: what one action carries out of its run, seen once for all detections that ask.

Credentials in it and whether this is their place; copies of what the run has read and whether they habitually go there; the tenants
behind the hosts that it names. Pure: it reads the run's marks and the agent's outflow, and changes neither.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from kaizen_security.contract import canonical
from kaizen_security.contract.action import Action
from kaizen_security.observer.carried import Carried, Piece, Spot, carried, for_credentials
from kaizen_security.observer.copies import distinct, rows, words
from kaizen_security.observer.credentials import find
from kaizen_security.observer.decode import turned
from kaizen_security.observer.marks import GRAM, Marks, Origin
from kaizen_security.observer.outflow import Outflow, Taught, mark
from kaizen_security.observer.personal import card_numbers, ibans

SPLIT = 0.75
"""Share of a secret's characters that went to one place in pieces before it is a finding."""
SHORT_PIECE = 256
"""Characters up to which a piece may be a part of a secret that is sent in parts."""
MOST_LEDGERS = 256


class Leak(NamedTuple):
    """A credential at a place where it is not at home. ``why`` says what is wrong with the place."""

    name: str
    piece: Piece
    size: int
    why: str
    read: Origin | None = None


class Copy(NamedTuple):
    """Something that was read stands in the action. ``level`` 0: single values; from 1 on: rows of words, doubled by each level.

    ``new``: this agent's flows are known, and this one is not among them
    """

    origin: Origin
    piece: Piece
    level: int
    rows: int
    new: bool
    known: bool


@dataclass(frozen=True, slots=True)
class Load:
    """``pieces`` of secrets that went to the same place before count together: ``ledger`` is what this action would add."""

    carried: Carried
    leaks: tuple[Leak, ...]
    copies: tuple[Copy, ...]
    taught: Taught
    ledger: tuple[tuple[tuple[str, int, int], frozenset[int]], ...] = ()


NOTHING_READ = Marks()
"""For an action without a run: nothing is known of what was read before it. Never written to."""


def load(action: Action, marks: Marks, outflow: Outflow) -> Load:
    """What the action carries."""
    seen = carried(action)
    tool = canonical.tool(action.tool) or action.kind
    place = tool + "|" + seen.host
    leaks, secrets = _leaks(seen, place, marks, outflow)
    ledger, split = _ledger(seen, place, marks)
    copies, flows, pairs = _copies(seen, tool, marks, outflow)
    taught = Taught(flows, pairs, secrets, (), sum(copy.new for copy in copies))
    return Load(seen, (*leaks, *split), copies, taught, ledger)


# --- credentials ----------------------------------------------------------------------------------------------------------


def _leaks(seen: Carried, place: str, marks: Marks, outflow: Outflow) -> tuple[list[Leak], tuple[int, ...]]:
    found: dict[tuple[int, str], Leak] = {}
    slots: list[int] = []
    for piece in seen.pieces:
        for name, value, issued, homes, origin in _credentials(piece, marks):
            slot = mark(value, place, piece.field, piece.form)
            anywhere = mark(value)
            if issued:
                # Where an issuer's token is used is learned; what merely stands under such a name is not worth a place.
                slots += [slot, anywhere]
            why = "" if slot in outflow.secrets else _wrong(piece, homes, origin, value, anywhere, marks, outflow)
            if why and seen.leaves:
                found.setdefault((hash(value), piece.field), Leak(name, piece, len(value), why, origin))
    return list(found.values()), tuple(dict.fromkeys(slots))


def _credentials(piece: Piece, marks: Marks) -> Iterator[tuple[str, str, bool, tuple[str, ...], Origin | None]]:
    text = piece.text
    hits = find(text)
    if len(text) <= SHORT_PIECE or " " not in text:
        for form, inner in turned(text):
            hits += [hit._replace(name=f"{hit.name}, {form}") for hit in find(inner) if hit.issued]
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


def book(marks: Marks, entries: Iterable[tuple[tuple[str, int, int], frozenset[int]]]) -> None:
    """Put what an action took along into the ledgers of the run. The oldest ledger makes room, and is counted."""
    for key, places in entries:
        marks.ledgers.setdefault(key, set()).update(places)
        if len(marks.ledgers) > MOST_LEDGERS:
            marks.ledgers.popitem(last=False)
            marks.evicted += 1


# --- copies ---------------------------------------------------------------------------------------------------------------


def _copies(
    seen: Carried, tool: str, marks: Marks, outflow: Outflow
) -> tuple[tuple[Copy, ...], tuple[int, ...], tuple[int, ...]]:
    if not marks.sources:
        return (), (), ()
    counts: dict[tuple[Origin, str, str], int] = {}
    pieces: dict[tuple[Origin, str, str], Piece] = {}
    for piece in seen.pieces:
        for origin, kind in _found(piece, marks):
            key = (origin, piece.field, piece.form)
            counts[key] = counts.get(key, 0) + kind
            pieces[key] = piece
    tools = {source.tool for source in marks.sources}
    pairs = tuple(mark(one, tool) for one in sorted(tools))
    copies, flows = [], []
    for key, row in counts.items():
        origin, piece = key[0], pieces[key]
        level = row.bit_length()
        slots = [_flow(origin, tool, piece, step) for step in range(level + 1)]
        flows += slots
        usual = slots[level - 1 if level > 1 else level] in outflow.flows
        new = not usual and level > 0 and outflow.settled(mark(origin.source.tool, tool))
        copies.append(Copy(origin, piece, level, row, new, usual))
    return tuple(copies), tuple(dict.fromkeys(flows))[:64], pairs[:32]


def _flow(origin: Origin, tool: str, piece: Piece, level: int) -> int:
    form = "" if piece.form == "percent" else piece.form
    return mark(origin.source.tool, origin.part, tool, piece.field, form, level)


def _found(piece: Piece, marks: Marks) -> Iterator[tuple[Origin, int]]:
    """Where the words of a piece were read: 0 for a single value, 1 for a row of words."""
    found = words(piece.text)
    for row in dict.fromkeys(rows(found)):
        origin = marks.origin(row)
        if origin is not None:
            yield origin, 1
    for word in dict.fromkeys(found):
        if not word.isalpha() and distinct(word):
            origin = marks.origin(hash(word))
            if origin is not None:
                yield origin, 0
    if any(char.isdigit() for char in piece.text[:2048]):
        for number in (*card_numbers(piece.text), *ibans(piece.text)):
            origin = marks.origin(hash(number))
            if origin is not None:
                yield origin, 0
