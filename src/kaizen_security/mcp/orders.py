"""Orders: sentences in a server's text that tell the model what to do beyond describing a tool.

Each sign alone is ordinary prose: descriptions say *must*, speak of keys, name other tools. Signs of different kinds together are
not: an order **and** its concealment, another tool **and** a changed recipient, a secret file **and** the argument that carries it.
So signs are counted by kind, each kind once, over all the text of one definition (``order_words`` has the kinds). What is quoted as
an example of something that is looked for counts for nothing: text that names a threat is not the threat.

Pure, linear in the text. What it does not see: orders in other languages than English, German, Spanish and French, and orders
without any such sign.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kaizen_security.mcp.order_plain import MAX_TEXT, decoded, plain
from kaizen_security.mcp.order_tongues import TONGUES
from kaizen_security.mcp.order_words import HEAVY, KINDS, SPOKEN, Kind

DEFINITION = 4
"""Weight from which a definition is held back."""
RESULT = 7
"""Weight from which a result is: what a page says is not what an agent does."""
SPOKEN_TO = 5
"""Weight from which a result is that speaks to the model, or pretends to be turns of its conversation."""
_SPOKEN = frozenset({"words to the model that reads", "turns of a conversation that nobody had"})
_Kinds = tuple[Kind, ...]
_EVERY: _Kinds = (*KINDS, *TONGUES)
_HEAVY: _Kinds = (*HEAVY, *TONGUES)
__all__ = ["DEFINITION", "MAX_TEXT", "Sign", "orders_in_result", "signs", "signs_in_result", "weight"]

_OUT_OF_SIGHT = re.compile(r"(?:[ \t]*\n){25,}\s*\S|[ \t]{120,}\S")
_IMAGE = re.compile(r"!\[[^\]]{0,200}\]\(\s*https?://[^)\s]{0,300}?(?:\{|\$\{|%7b|<|\[)[^)]{0,80}\)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Sign:
    """``kind`` in words, ``weight``, and the ``words`` that gave it."""

    kind: str
    weight: int
    words: str


def signs(texts: Iterable[str], *, strangers: Mapping[str, str] | None = None) -> tuple[Sign, ...]:
    """The signs in all the texts of one definition, each kind once, the heaviest first.

    ``strangers``: names of other servers' tools and whose they are; one that is named here is a sign.
    """
    found: dict[str, Sign] = {}
    for text in texts:
        read = plain(text)
        for sign in (*_in_sight(text), *_of_kinds(read, found, _EVERY), *_strangers(read, strangers or {})):
            found.setdefault(sign.kind, sign)
        _decoded(text, found, _EVERY)
    return _sorted(found)


def signs_in_result(text: str) -> tuple[Sign, ...]:
    """The signs in what a call brought back. Looked for only where one of the heavy ones stands, which is next to nowhere."""
    found: dict[str, Sign] = {}
    read = plain(text)
    if any(_of_kinds(read, found, _HEAVY)) or _IMAGE.search(text):
        for sign in (*_in_sight(text), *_of_kinds(read, found, (*_EVERY, SPOKEN))):
            found.setdefault(sign.kind, sign)
    _decoded(text, found, (*_EVERY, SPOKEN))
    return _sorted(found)


def orders_in_result(text: str, *, addressed: bool = False) -> tuple[Sign, ...]:
    """The signs in a result when they are enough to hold it back, else none.

    ``addressed``: whoever reads it is spoken to anyway, as in an error's words or in a prompt
    """
    found = signs_in_result(text)
    spoken = addressed or any(sign.kind in _SPOKEN for sign in found)
    return found if weight(found) >= (SPOKEN_TO if spoken else RESULT) else ()


def _sorted(found: Mapping[str, Sign]) -> tuple[Sign, ...]:
    return tuple(sorted(found.values(), key=lambda sign: -sign.weight))


def _decoded(text: str, found: dict[str, Sign], kinds: _Kinds) -> None:
    """The signs of what the text says once it is decoded; that it had to be is a sign itself, where there are others."""
    for how, said in decoded(text):
        signs_of_it = tuple(_of_kinds(plain(said), {}, kinds))
        if signs_of_it:
            found.setdefault(how, Sign(how, 3, said[:120]))
        for sign in signs_of_it:
            found.setdefault(sign.kind, sign)


def _in_sight(text: str) -> Iterable[Sign]:
    if _OUT_OF_SIGHT.search(text):
        yield Sign("text pushed out of sight", 2, "many empty lines or blanks")
    image = _IMAGE.search(text)
    if image:
        yield Sign("link that carries data out", 3, image[0][:120])


def _of_kinds(plain: str, found: Mapping[str, Sign], kinds: _Kinds) -> Iterable[Sign]:
    for kind in kinds:
        match = None if kind.name in found else kind.search(plain)
        if match:
            yield Sign(kind.name, kind.weight, match[0].strip()[:120])


def _strangers(plain: str, strangers: Mapping[str, str]) -> Iterable[Sign]:
    for name, server in strangers.items():
        # A short name, or one without a joint, is a word like any other, and says little also where it is written as a name.
        jointed = len(name) >= 6 and re.search(r"[_\-A-Z]", name)
        if (jointed and name.lower() in plain) or (len(name) >= 3 and f"`{name.lower()}`" in plain):
            yield Sign("another server's tool", 2 if jointed else 1, f"{name} of {server}"[:120])
            return


def weight(found: tuple[Sign, ...]) -> int:
    """The sum, when the signs are of at least two kinds; one kind alone is prose."""
    return sum(sign.weight for sign in found) if len(found) > 1 else 0
