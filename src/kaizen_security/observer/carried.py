"""What an action carries: each text in its arguments and its target, with the field that it stands in, plain and decoded.

A URL is taken apart wherever it stands alone: user, labels of the host, path, query and fragment are fields of their own, since
what is at home in one of them leaks in another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_plus

from kaizen_security.contract import canonical
from kaizen_security.contract.action import EGRESS_KINDS, Action, Json
from kaizen_security.observer.baseline import destination
from kaizen_security.observer.decode import SHORTEST, Budget, decoded, may_hold
from kaizen_security.observer.entities import words_of_name
from kaizen_security.observer.outline import CUT, LONGEST

MOST_PIECES = 128
"""Texts that are looked at one by one; those behind them are looked at as one text."""
MOST_CHARACTERS = 256 << 10
"""Characters of one action that are looked at, before decoding: as many as clients send of one document."""
MOST_TEXTS = 8192
MOST_DECODED_PIECES = 64
"""Of what was decoded, too, those behind are looked at as one text."""
LEAST_NAME = 16
"""Characters of a field's name, with digits or blanks among them, from which on it is looked at as a text."""

UNMEASURED = 1 << 30
"""More than any word has: whatever it is, it may be in it."""

_URL = re.compile(r"(?:https?|wss?|ftp)://\S+\Z", re.IGNORECASE)
_FACTS = frozenset({"source", "sensitive", "facts", "facts_omitted", "phase", "named_by"})
"""Metadata that says how an action was seen, not what it carries."""


class Spot(StrEnum):
    """Where in an action a text stands."""

    ARGUMENT = "argument"
    USER = "user of the URL"
    HOST = "label of the host"
    PATH = "path"
    QUERY = "query"
    FRAGMENT = "fragment"


class Piece(NamedTuple):
    """One text. ``field`` is its path, ``name`` the last name in it; ``form`` how it was encoded, ``""`` for plain.

    ``longest``  characters of its longest word, which says what cannot be in it
    """

    field: str
    name: str
    text: str
    spot: Spot
    host: str
    form: str = ""
    longest: int = UNMEASURED


class Carried(NamedTuple):
    """``host`` is where the action goes, ``""`` when nothing says; ``leaves``: not plainly to a place on this machine."""

    pieces: tuple[Piece, ...]
    host: str
    leaves: bool
    cut: bool

    @property
    def much(self) -> bool:
        """Whether not all was looked at for its length: a sign that says that something is left out, and what is nested too
        deep, cost nobody a byte, and would teach an agent to send much.
        """
        return self.cut and sum(len(piece.text) for piece in self.pieces if not piece.form) > LONGEST


def carried(action: Action) -> Carried:
    """Everything that the action carries, bounded. ``cut`` when the bounds left something out."""
    if len(action.target) <= 256 and action.metadata.keys() <= _FACTS:
        return _of_target(action.kind, action.target)
    return _carried(action)


@lru_cache(maxsize=1024)
def _of_target(kind: str, target: str) -> Carried:
    # Most reports carry nothing but a target, and an agent has few of those.
    return _carried(Action(kind=kind, target=target))


def _carried(action: Action) -> Carried:
    host = destination(action)
    found, behind, cut = _bounded(_plain(action, host))
    if behind:
        # Who writes many arguments before it must not get more out than who writes one.
        text = "\n".join(behind)
        found.append(Piece("arguments", "", text, Spot.ARGUMENT, host, "", longest_word(text)))
    budget = Budget()
    inner: list[Piece] = []
    for piece in found:
        if may_hold(piece.text, piece.longest):
            for form, text in decoded(piece.text, budget):
                inner.append(piece._replace(text=text, form=form, longest=longest_word(text)))
    if len(inner) > MOST_DECODED_PIECES:
        more = inner[MOST_DECODED_PIECES:]
        text = "\n".join(piece.text for piece in more)
        inner[MOST_DECODED_PIECES:] = [more[0]._replace(text=text, longest=longest_word(text))]
    return Carried((*found, *inner), host, _leaves(action, host), cut or budget.cut)


def _bounded(pieces: Iterable[Piece]) -> tuple[list[Piece], list[str], bool]:
    """The first pieces, the texts of those behind them, and whether something was left out, here or by the client."""
    found: list[Piece] = []
    behind: list[str] = []
    left, cut = MOST_CHARACTERS, False
    for number, piece in enumerate(pieces):
        if left <= 0 or number >= MOST_TEXTS:
            return found, behind, True
        text = piece.text[:left]
        left -= len(text)
        cut = cut or len(text) < len(piece.text) or text == CUT or (len(text) > LONGEST and text.endswith(CUT))
        if len(found) < MOST_PIECES:
            found.append(Piece(piece.field, piece.name, text, piece.spot, piece.host, "", longest_word(text)))
        else:
            behind.append(text)
    return found, behind, cut


def longest_word(text: str) -> int:
    """Characters of the longest word of a text, or more where it is short."""
    return max(map(len, text.split()), default=0) if len(text) >= SHORTEST else len(text)


def _leaves(action: Action, host: str) -> bool:
    if action.kind in EGRESS_KINDS or host:
        return True
    # A tool with a path as its target works on this machine; one without any target may be a service of somebody else's.
    return action.kind != "file" and not action.target


def _plain(action: Action, host: str) -> Iterator[Piece]:
    if action.target:
        if host or "://" in action.target or action.kind in EGRESS_KINDS:
            yield from _url(action.target, "target", host or _host_of(action.target))
        else:
            yield Piece("target", "target", action.target, Spot.ARGUMENT, host)
    for name, value in action.metadata.items():
        if name not in _FACTS:
            yield from _walk(value, name, name, host, 0)


def _walk(value: Json, path: str, name: str, host: str, depth: int) -> Iterator[Piece]:
    if value is None or isinstance(value, bool):
        return
    if depth > 16 or isinstance(value, (str, int, float)):
        yield from _said(CUT if depth > 16 else str(value), path, name, host)
        return
    if isinstance(value, Mapping):
        inner: Iterable[tuple[str, str, Json]] = ((f"{path}.{key}"[:200], str(key), one) for key, one in value.items())
    else:
        inner = ((path + "[]", name, one) for one in value)
    for place, named, one in inner:
        if isinstance(one, str) and "://" not in one and depth < 16:
            # Most are plain texts: none needs a walk of its own.
            if one:
                yield Piece(place, named, one, Spot.ARGUMENT, host)
        else:
            yield from _walk(one, place, named, host, depth + 1)
    if isinstance(value, Mapping):
        # After the values, which they must not crowd out.
        yield from _names(value, path, host)


def _said(text: str, path: str, name: str, host: str) -> Iterator[Piece]:
    if "://" in text and _URL.match(text):
        yield from _url(text, path, _host_of(text))
    elif text:
        yield Piece(path, name, text, Spot.ARGUMENT, host)


def _names(value: Mapping[str, Json], path: str, host: str) -> Iterator[Piece]:
    """Names that nobody would give: each may be what is said with it."""
    for key in value:
        if len(key) >= LEAST_NAME and (" " in key or any(map(str.isdigit, key))):
            yield Piece(path, "name", key, Spot.ARGUMENT, host)


def _host_of(text: str) -> str:
    return canonical.target(text).host


def _url(text: str, path: str, host: str) -> Iterator[Piece]:
    _, scheme, rest = text.partition("://")
    rest = rest if scheme else text
    rest, _, fragment = rest.partition("#")
    rest, _, query = rest.partition("?")
    authority, _, below = rest.partition("/")
    user, _, _ = authority.rpartition("@")
    if user:
        yield Piece(path + ".user", "password", user, Spot.USER, host)
    labels = host.split(".")
    if len(labels) > 2:
        # Labels are short: what is spread over them is one text.
        yield Piece(path + ".host", "host", "".join(labels[:-2]), Spot.HOST, host)
        for label in labels[:-2]:
            yield Piece(path + ".host", "host", label, Spot.HOST, host)
    segments = [segment for segment in below.split("/") if segment][:32]
    for segment in segments:
        yield Piece(path + ".path", "path", segment, Spot.PATH, host)
    if len(segments) > 1:
        # base64 has slashes of its own.
        yield Piece(path + ".path", "path", "/".join(segments), Spot.PATH, host)
    for pair in query.split("&")[:64] if query else ():
        name, _, value = pair.partition("=")
        yield Piece(f"{path}.query.{name}"[:200], name, unquote_plus(value or name), Spot.QUERY, host)
    if fragment:
        yield Piece(path + ".fragment", "fragment", fragment, Spot.FRAGMENT, host)


_SECRET_WORDS = frozenset(
    words_of_name(
        "password passwd pwd passphrase passcode secret token credential authorization authentication auth cookie apikey sig "
        "signature jwt bearer otp webhook csrf"
    )
)
_KEYS = frozenset(words_of_name("api access private secret ssh signing encryption auth service master deploy account"))
_NOT_SECRET = frozenset(words_of_name("count max limit usage number total name id type policy length budget"))


@lru_cache(maxsize=1024)
def for_credentials(name: str) -> bool:
    """Whether a field of that name is made for a credential: ``Authorization``, ``api_key``, ``db_password``."""
    words = frozenset(words_of_name(name[:64]))
    if words & _NOT_SECRET:
        return False
    return bool(words & _SECRET_WORDS) or ("key" in words and bool(words & _KEYS))
