"""The values of a call's arguments, each with its kind and its field, and the entities inside longer texts. Pure and bounded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import NamedTuple

from kaizen_security.contract.action import Json
from kaizen_security.observer.entities import LONGEST_VALUE, PLACES, Kind, canonical, fold, kind_of, places_in, whole
from kaizen_security.observer.grouped import integers

MOST_VALUES = 64
"""Values of a call that are looked at; further ones only where they name a place, as many again."""
MOST_CHARACTERS = 4096
"""Of a call's texts together that are looked at; longer ones are read for the entities at their beginning. What is short enough to
be one value is looked at whatever stands before it.
"""
MOST_LEAVES = 1024


class Value(NamedTuple):
    """One value of a call's arguments. ``parts`` are the hashes that must stand together, those of ``words`` where it is several;
    ``text`` and ``words`` live as long as the call.

    ``row``  an account, by its form, which may as well be a row of plain integers
    """

    field: str
    text: str
    kind: Kind
    parts: tuple[int, ...]
    inside: bool = False
    words: tuple[str, ...] = ()
    row: bool = False


def values(arguments: Json) -> list[Value]:
    """The values of a call's arguments, and the entities inside longer texts, bounded."""
    found: list[Value] = []
    budget = MOST_CHARACTERS
    for field, text in islice(_flat(arguments, "", 0), MOST_LEAVES):
        if len(text) <= LONGEST_VALUE:
            one = canonical(text)
        elif budget > 0:
            one = canonical(text[:budget])
            budget -= len(text)
        else:
            continue
        if not one:
            continue
        kind = kind_of(one)
        if len(found) >= MOST_VALUES and kind not in PLACES:
            continue
        if kind is Kind.TEXT:
            found.append(Value(field, one, kind, ()))
            found += _inside(field, one)
        else:
            words = whole(one, kind)
            several = words if words != (one,) else ()
            row = kind is Kind.ACCOUNT and one in integers(" ".join(fold(text).split()))
            found.append(Value(field, one, kind, tuple(map(hash, words)), words=several, row=row))
            if kind is Kind.WORD and " " in one:
                found += _inside(field, one)
    if len(found) > MOST_VALUES:
        found = [*found[:MOST_VALUES], *(one for one in found[MOST_VALUES:] if one.kind in PLACES)]
    return found[: 2 * MOST_VALUES]


def _inside(field: str, text: str) -> list[Value]:
    found = places_in(text)
    rows = integers(text) if found else ()
    return [Value(field, word, kind, (hash(word),), True, row=word in rows) for word, kind in found]


def _flat(document: Json, path: str, depth: int) -> Iterable[tuple[str, str]]:
    if depth > 16 or document is None or isinstance(document, bool):
        return
    if isinstance(document, Mapping):
        # A name with other signs than letters may be a value: who gets how much is often written so.
        for name in document:
            said = str(name)
            if not said.replace("_", "").isalpha() and kind_of(canonical(said[: LONGEST_VALUE + 1])) in PLACES:
                yield path + "{}", said[:LONGEST_VALUE]
        inner: Iterable[tuple[str, Json]] = (
            (f"{path}.{name}" if path else str(name), value) for name, value in document.items()
        )
    elif isinstance(document, (list, tuple)):
        inner = ((path + "[]", value) for value in document)
    else:
        text = str(document)
        if text:
            yield path or "$", text
        return
    for below, value in inner:
        if isinstance(value, str) and depth < 16:
            # Most values are texts: none needs a walk of its own.
            if value:
                yield below or "$", value
        else:
            yield from _flat(value, below, depth + 1)
