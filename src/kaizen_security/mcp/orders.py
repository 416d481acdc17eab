"""Orders: sentences in a server's text that tell the model what to do beyond describing a tool.

Each sign alone is ordinary prose: descriptions say *must*, speak of keys, name other tools. Signs of different kinds together are
not: an order **and** its concealment, another tool **and** a changed recipient, a secret file **and** the argument that carries it.
So signs are counted by kind, each kind once, over all the text of one definition (``order_words`` has the kinds). What is quoted as
an example of something that is looked for counts for nothing: text that names a threat is not the threat.

One sign is learnt and not listed: how a text is worded (``order_likeness``). Pure, linear in the text. What it does not see: orders
in the words of a description, which name nothing that a description has no business with.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from kaizen_security.mcp import order_acts, order_prose, order_together
from kaizen_security.mcp.definitions import Asked
from kaizen_security.mcp.order_claims import of_another
from kaizen_security.mcp.order_kinds import END, Kind
from kaizen_security.mcp.order_likeness import likeness, places, why
from kaizen_security.mcp.order_plain import MAX_TEXT, cut, decoded, parts, plain
from kaizen_security.mcp.order_sieve import Sieve
from kaizen_security.mcp.order_slots import slots
from kaizen_security.mcp.order_together import Together
from kaizen_security.mcp.order_tongues import HEAVY_STEMS, heavy_in, heavy_of, light_in
from kaizen_security.mcp.order_words import HEAVY, KINDS, SPOKEN

DEFINITION = 4
"""Weight from which a definition is held back."""
RESULT = 7
"""Weight from which a result is: what a page says is not what an agent does."""
SPOKEN_TO = 5
"""Weight from which a result is that speaks to the model, or pretends to be turns of its conversation."""
_SPOKEN = frozenset({"words to the model that reads", "turns of a conversation that nobody had"})
NEAR = 600
"""Characters on each side of a heavy sign in a result in which others count with it."""
MAX_PLACES = 64
"""Heavy signs of one result whose neighbourhoods are looked at one by one."""
MAX_PLACE = 4 * NEAR
MAX_PICTURES = 16
SHORT = 64
"""Characters of a text whose signs are kept for the next time."""
MANY_JOINTS = 6
"""Joints of a name, from which on it is read as a sentence."""
WORDED = "worded as orders to a model are"
"""The kind of sign that is learnt, and not named."""
WORDED_FROM = ((600, 5), (400, 4), (250, 3), (150, 2))
"""Its weight by the hundredths of likeness; from 400 on a definition is held though nothing else speaks against it."""
WORDED_PLACE = 500
"""Hundredths of likeness from which on a place of a result is looked at for other signs."""
MOST_WORDED = 8
"""Places of a result that are looked at for how they are worded, the likest first; and of those of another sign as many."""
LEAST_IN_RESULT, MOST_IN_RESULT = 3, 5
"""Its weight in a result, which is never held for it alone; less counts for nothing there."""
SHORTEST_WORDED = 25
"""Characters of the shortest text that is looked at for it."""
SHORTEST_CODED = 19
"""Characters of the shortest text that may say more once it is decoded: ten letters set apart."""
__all__ = ["DEFINITION", "MAX_TEXT", "Sign", "orders_in_result", "signs", "signs_in_result", "weight"]

_HEAVY_KINDS: tuple[Kind | Together, ...] = (
    *HEAVY,
    *order_prose.HEAVY,
    *order_together.HEAVY,
    *order_acts.HEAVY,
)
_SIEVE = Sieve((*(kind.stems for kind in _HEAVY_KINDS), *HEAVY_STEMS))
"""The heavy kinds and the languages: most texts hold none, as their words say."""

_RESULT_TAG = re.compile(r"<(/?)(?:tool|function)[_ ]?(?:results?|response|output|call)s?\b", re.IGNORECASE)
_PICTURE = re.compile(r"!\[")
_ADDRESS = re.compile("https?://")
_OUT_OF_SIGHT = re.compile(r"(?<![ \t])(?:(?:[ \t]*+\n){25}|[ \t]{120,}+(?!\s))")
"""Of a text without white space at its end, so that something always follows: to look for it from each line is not linear."""
_IMAGE = re.compile(
    r"(?i:!\[[^\]]{0,200}\]\(\s*https?://[^)\s]{0,300}?)(?:(?i:\{|\$\{|%7b|<|\[)|[?&/][\w.-]{0,40}=?[A-Z][A-Z_]{3,40}(?=[)&/]))[^)]{0,80}\)"
)
"""A picture whose address has a gap to be filled: in brackets, or a word in capitals."""


@dataclass(frozen=True, slots=True)
class Sign:
    """``kind`` in words, ``weight``, and the ``words`` that gave it."""

    kind: str
    weight: int
    words: str


_NOT_WORDED = Sign(WORDED, 0, "")


def signs(
    texts: Iterable[str],
    *,
    strangers: Mapping[str, str] | None = None,
    asked: Asked = (),
    own: frozenset[str] | None = None,
    partial: bool = False,
) -> tuple[Sign, ...]:
    """The signs in all the texts of one definition, each kind once, the heaviest first.

    ``strangers``: names of other servers' tools and whose they are; one that is named here is a sign.
    ``asked``: the arguments, by name and with what each says of itself; ``own``: the names of the server's tools,
    None when nobody knows them; ``partial``: it may have others.
    """
    found: dict[str, Sign] = {}
    asked = tuple(asked)
    texts = tuple(texts)
    known = None if own is None else own | {name for name, _ in asked} | {text for text in texts if len(text) < 64}
    texts = tuple(map(_set_apart, texts))
    for _, text in asked:
        read = plain(text)
        for sign in (
            *_of_kinds(read, found, (*order_together.SLOTS, *order_acts.SLOTS)),
            *(Sign(*one) for one in of_another(read, None if partial else known, strangers or {})),
        ):
            found.setdefault(sign.kind, sign)
    named = _as_named(strangers or {})
    best = _NOT_WORDED
    for text in dict.fromkeys(texts):
        if len(text) <= SHORT:
            read, signs_of_it = _of_short(text)
        else:
            read = plain(text)
            signs_of_it = (*_in_sight(text), *_of_kinds(read, found, _every(read)))
        for sign in (
            *signs_of_it,
            *_strangers(read, named),
            *(() if known is None else _foreign(read, known)),
        ):
            found.setdefault(sign.kind, sign)
        if len(text) >= SHORTEST_CODED:
            _decoded(decoded(text), found, lambda said: _of_kinds(said, {}, _every(said)))
        if len(text) >= SHORTEST_WORDED and (worded := _worded(read)).weight > best.weight:
            best = worded
    if best.weight:
        found[WORDED] = best
    return _sorted(found)


def _worded(read: str) -> Sign:
    """How far a text is worded as orders are; of no weight where it is not."""
    score, start, end = likeness(read)
    heavy = next((heavy for least, heavy in WORDED_FROM if score >= least), 0)
    if not heavy:
        return _NOT_WORDED
    beginning, reasons = why(read[start:end])
    return Sign(WORDED, heavy, f"{beginning[:80]} ({reasons})")


def _set_apart(text: str) -> str:
    """A sentence that is written as one name is a sentence: a single choice that says what was done says it to the model."""
    return text.replace("_", " ") if text.count("_") >= MANY_JOINTS and " " not in text else text


@functools.lru_cache(maxsize=2048)
def _of_short(text: str) -> tuple[str, tuple[Sign, ...]]:
    """A short text as it is read, and its signs: a list of tools says ``type`` and ``string`` a hundred times."""
    read = plain(text)
    return read, (*_in_sight(text), *_of_kinds(read, {}, _every(read)))


def signs_in_result(text: str, *, addressed: bool = False) -> tuple[Sign, ...]:
    """The signs in what a call brought back, those of the place where they weigh most.

    Looked for only around the heavy ones, which stand next to nowhere: an order and its concealment are neighbours, and a long page
    that has a sign in each chapter gives none.
    """
    best: dict[str, Sign] = {}
    for part in (text,) if len(text) <= MAX_TEXT else parts(text, 2 * NEAR):
        found = _heaviest(plain(part), part, whole=addressed and len(part) <= MAX_PLACE)
        if coded := decoded(part):
            _decoded(coded, found, lambda said: _heaviest(said, "", whole=len(said) <= MAX_PLACE).values())
        if found:
            best = max(best, found, key=_worth)
    return _sorted(best) if best else ()


def _heaviest(read: str, seen: str, *, whole: bool = False) -> dict[str, Sign]:
    """The signs of the place where they weigh most, with those of how the text looks (``seen``). ``whole``: it is one place."""
    may = _SIEVE.may(read)
    marked = [*_around_heavy(read, may)] if may else []
    if "</" in seen or "://" in seen or "![" in seen:
        marked += _around_looks(read, seen)
    looked_at = [*marked, *_around_worded(read)] if len(read) >= SHORTEST_WORDED else marked
    if not looked_at:
        if not whole:
            return {}
        looked_at = [read[:MAX_PLACE]]
    signs_of_looks = tuple(_in_sight(seen))
    best: dict[str, Sign] = {}
    looked = 0
    for number, place in enumerate(looked_at):
        found = {sign.kind: sign for sign in signs_of_looks}
        for sign in _of_kinds(
            place,
            found,
            (*_every(place, spoken=True), SPOKEN, order_prose.SPOKEN, *order_together.SPOKEN, *order_acts.SPOKEN),
        ):
            found.setdefault(sign.kind, sign)
        if looked < MOST_WORDED and _decides(found, addressed=whole):
            looked += 1
            if (worded := _worded(place)).weight >= LEAST_IN_RESULT:
                found[WORDED] = Sign(WORDED, min(MOST_IN_RESULT, worded.weight), worded.words)
        # Where nothing heavy stands, signs are none unless they are enough.
        if number < len(marked) or whole or _worth(found) >= RESULT:
            best = max(best, found, key=_worth)
    return best


def _decides(found: Mapping[str, Sign], *, addressed: bool) -> bool:
    """Whether how a place is worded can decide on it: it is too little without, and enough with it."""
    needed = SPOKEN_TO if addressed or not _SPOKEN.isdisjoint(found) else RESULT
    return (
        bool(found) and weight(_sorted(found)) < needed <= sum(sign.weight for sign in found.values()) + MOST_IN_RESULT
    )


def _worth(found: Mapping[str, Sign]) -> int:
    """How far signs in a result reach: those that speak to the model need less."""
    return weight(_sorted(found)) + (RESULT - SPOKEN_TO if not _SPOKEN.isdisjoint(found) else 0)


def _around_looks(read: str, seen: str) -> Iterator[str]:
    """The neighbourhood of what ends the result, and of pictures and addresses that carry something out."""
    marks = [tag.start()] if _breaks_out(seen) and (tag := _RESULT_TAG.search(read)) else []
    if _carries_out(seen):
        marks += [image.start() for image in islice(_PICTURE.finditer(read), MAX_PICTURES)]
    if next(slots(seen), None):
        marks += [address.start() for address in islice(_ADDRESS.finditer(read), MAX_PICTURES)]
    for at in marks:
        yield read[max(0, at - NEAR) : at + NEAR]


def _around_worded(read: str) -> Iterator[str]:
    """The neighbourhood of what is worded most as orders are."""
    like = [place for place in places(read) if place[0] >= WORDED_PLACE]
    for _, start, end in sorted(like, reverse=True)[:MOST_WORDED]:
        yield read[max(0, start - NEAR) : min(end, start + MAX_PLACE) + NEAR]


def _around_heavy(read: str, may: int) -> Iterator[str]:
    """The neighbourhood of each heavy sign; of a text that is full of them, the whole text. ``may``: bits of what it may hold."""
    spans = [match.span() for kind in _heavy(read, may) for match in islice(kind.finds(read), MAX_PLACES + 1)]
    if len(spans) > MAX_PLACES:
        yield read
        return
    for start, end in spans:
        yield read[max(0, start - NEAR) : end + NEAR]


def _heavy(read: str, may: int) -> Iterator[Kind | Together]:
    """The heavy kinds that a text may hold: most hold none."""
    while may:
        number = (may & -may).bit_length() - 1
        may &= may - 1
        if number < len(_HEAVY_KINDS):
            yield _HEAVY_KINDS[number]
        else:
            yield from heavy_of(number - len(_HEAVY_KINDS), read)


def orders_in_result(text: str, *, addressed: bool = False) -> tuple[Sign, ...]:
    """The signs in a result when they are enough to hold it back, else none.

    ``addressed``: whoever reads it is spoken to anyway, as in an error's words or in a prompt
    """
    found = signs_in_result(text, addressed=addressed)
    if not found:
        return ()
    spoken = addressed or any(sign.kind in _SPOKEN for sign in found)
    return found if weight(found) >= (SPOKEN_TO if spoken else RESULT) else ()


def _sorted(found: Mapping[str, Sign]) -> tuple[Sign, ...]:
    return tuple(sorted(found.values(), key=lambda sign: -sign.weight))


def _decoded(
    readings: Iterable[tuple[str, str]], found: dict[str, Sign], look: Callable[[str], Iterable[Sign]]
) -> None:
    """The signs of what a text says once it is decoded; that it had to be is a sign itself, where it says more than before."""
    for how, said in readings:
        signs_of_it = tuple(look(plain(said)))
        if any(sign.kind not in found for sign in signs_of_it):
            found.setdefault(how, Sign(how, 3, said[:120]))
        for sign in signs_of_it:
            found.setdefault(sign.kind, sign)


def _carries_out(text: str) -> re.Match[str] | None:
    return _IMAGE.search(text) if "![" in text else None


def _breaks_out(text: str) -> bool:
    """Whether it ends an element that it never began, as if what follows were not the result any more."""
    tag = _RESULT_TAG.search(text) if "</" in text else None
    return tag is not None and bool(tag[1])


def _in_sight(text: str) -> Iterable[Sign]:
    if _breaks_out(text):
        yield Sign("turns of a conversation that nobody had", 3, "the end of a result that has not begun")
    if _OUT_OF_SIGHT.search(text.rstrip()):
        yield Sign("text pushed out of sight", 2, "many empty lines or blanks")
    image = _carries_out(text)
    if image:
        yield Sign("link that carries data out", 3, image[0][:120])
    yield from (Sign(kind, weight, words[:120]) for kind, weight, words in slots(cut(text)))


def _every(plain: str, *, spoken: bool = False) -> Iterator[Kind | Together]:
    yield from KINDS
    yield from order_prose.KINDS
    yield from heavy_in(plain, spoken=spoken)
    yield from light_in(plain)
    yield from order_together.KINDS
    yield from order_acts.KINDS


def _of_kinds(plain: str, found: Mapping[str, Sign], kinds: Iterable[Kind | Together]) -> Iterable[Sign]:
    for kind in kinds:
        match = None if kind.name in found else kind.search(plain)
        if match:
            yield Sign(kind.name, kind.weight, match[0].replace(END, "").strip()[:120])


def _as_named(strangers: Mapping[str, str]) -> tuple[tuple[str, str, int], ...]:
    """How each name stands in a text when it is named, what the sign says then, and its weight."""
    found = []
    for name, server in strangers.items():
        # A short name, or one without a joint, is a word like any other, and says little also where it is written as a name.
        said, small = f"{name} of {server}"[:120], name.lower()
        if len(name) >= 6 and re.search(r"[_\-A-Z]", name):
            found.append((small, said, 2))
        elif len(name) >= 3:
            found.append((f"`{small}`", said, 1))
    return tuple(found)


def _strangers(plain: str, named: Iterable[tuple[str, str, int]]) -> Iterable[Sign]:
    for name, said, heavy in named:
        at = plain.find(name)
        if at >= 0:
            yield Sign("another server's tool", heavy, said)
            if heavy > 1 and order_together.spoken_against(plain, at, at + len(name)):
                yield Sign("word against other tools", 2, said)
            return


def _foreign(plain: str, own: frozenset[str]) -> Iterable[Sign]:
    """What another server's tool returns, as what is named like a tool and is none of the server's (``own``)."""
    name = order_together.filled_by_another(plain, own) if "_" in plain and "`" in plain else ""
    if name:
        yield Sign("data put into an argument or sent away", 2, name)


def weight(found: tuple[Sign, ...]) -> int:
    """The sum, when the signs are of at least two kinds; one kind alone is prose, but for words that are orders throughout."""
    return sum(sign.weight for sign in found) if len(found) > 1 or WORDED in {sign.kind for sign in found} else 0
