"""Definitions: what a server says of its tools, as a canonical document, its digest, and every text that a model reads in it."""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from itertools import dropwhile, takewhile

from kaizen_security.contract.action import Json

MAX_NAME = 256
MAX_TEXTS = 1 << 19
"""Values and names of one message that are looked at: as many as one that is read whole (``Limits.frame``) can have."""
MOST_VALUES = 200_000
"""Of one definition; one that has more is held back (``whole``)."""

Asked = Iterable[tuple[str, str]]
"""Arguments: the name of each, and all that it says of itself in one text."""

_ALIKE = str.maketrans(
    "аАеЕоОрРсСуУхХіІјЈѕЅԁһкКмМтТвВнНαΑεΕοΟρΡνυτκιɡıӏ01|!$@",  # noqa: RUF001  # letters that look like others are its subject
    "aaeeooppccyyxxiijjssdhkkmmttbbhhaaeeooppvutkigilolllsa",
)
_LETTERS = {sign: plain for sign, plain in _ALIKE.items() if sign > 0x7F}
"""Without the digits and signs, which are no letters of another script."""
_LETTER = re.compile(r"[^\W\d_]")
_LOOKS_LATIN = re.compile(f"[{''.join(map(chr, _LETTERS))}]")
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^\W\d_A-Za-z]\w*")
_ENDING = re.compile(r"(?<=\w{3})(?:ings?|ies|es|ed|en|s|e|y)$")
_EDITION = re.compile(r"(?<=[A-Za-z])[_.-]?(?:v\d{1,3}|\d{1,2})$", re.IGNORECASE)
_NUMBER = re.compile(r"(?<=[A-Za-z])(?<![^A-Za-z][vV])\d{1,2}$")
"""A number that belongs to the word before it, and is not set apart as that of an edition is."""
_TWICE = re.compile(r"(.)\1+")
_PRIVATE_KEY = re.compile(r"private(?:\W|\\s){0,6}key", re.IGNORECASE)
_KEY = re.compile(r"key|pem\b|secret|credential|certificat|identit", re.IGNORECASE)
_DOUBLED = re.compile(r"(.)\1$")


def digest(definition: Json) -> str:
    """SHA-256 of the whole definition in canonical form: every field, also those that nobody knows; order only where it means
    something.
    """
    return hashlib.sha256(json.dumps(settled(definition), sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def settled(value: Json) -> Json:
    """The same with ``required`` in order, which JSON Schema gives no meaning."""
    if isinstance(value, dict):
        return {key: _required(below) if key == "required" else settled(below) for key, below in value.items()}
    return [settled(below) for below in value] if isinstance(value, list) else value


def _required(value: Json) -> Json:
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return [*sorted(name for name in value if isinstance(name, str))]
    return settled(value)


def texts(value: Json) -> Iterator[str]:
    """Every text in a definition: values, and names of fields with blanks for joints (``read_first``: read first)."""
    level = [value]
    left = MAX_TEXTS
    while level:
        below: list[Json] = []
        for one in level:
            left -= 1
            if left < 0:
                return
            if isinstance(one, str):
                yield one
            elif isinstance(one, list):
                below += one
            elif isinstance(one, dict):
                for key, under in one.items():
                    yield key if "_" not in key else f"field named {key.replace('_', ' ')}"
                    below.append(under)
        level = below


def arguments(definition: Json) -> Asked:
    """Each argument that a tool, a prompt or a question asks for."""
    level = [definition]
    left = MAX_TEXTS
    while level and left > 0:
        below: list[Json] = []
        for one in level:
            left -= 1
            if isinstance(one, list):
                below += one
            elif isinstance(one, dict):
                below += one.values()
                properties, listed = one.get("properties"), one.get("arguments")
                if isinstance(properties, dict):
                    yield from (
                        (name, _said_of(name, _referred(about, definition))) for name, about in properties.items()
                    )
                if isinstance(listed, list):
                    yield from ((name, _said_of(name, about)) for about in listed if (name := name_of(about)))
        level = below


def _said_of(name: str, about: Json) -> str:
    said = [re.sub(r"[_-]|(?<=[a-z])(?=[A-Z])", " ", name)]
    if isinstance(about, dict):
        for key, value in about.items():
            if key not in _OF_OTHERS:
                said += [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]
    return ": ".join(said)


_OF_OTHERS = frozenset({"properties", "arguments", "required", "type", "format", "pattern", "$ref", "name"})
"""Keys of an argument's schema whose texts are names, or said by the arguments below it."""


def _referred(about: Json, definition: Json) -> Json:
    """An argument's schema with what it refers to in the same schema (``#/$defs/scope``), one step far."""
    place = about.get("$ref") if isinstance(about, dict) else None
    if not isinstance(about, dict) or not isinstance(place, str) or not place.startswith("#/"):
        return about
    schemas = (
        [definition.get(key) for key in ("inputSchema", "requestedSchema")] if isinstance(definition, dict) else []
    )
    for found in schemas:
        for step in place[2:].split("/")[:8]:
            found = found.get(step) if isinstance(found, dict) else None
        if isinstance(found, dict):
            return {**found, **about}
    return about


_REMOVES = frozenset("delete purge erase wipe destroy uninstall revoke terminate".split())
_MAY_REMOVE = frozenset("remove drop truncate".split())
_KEPT = frozenset(
    "access account backup branch bucket collection container database directory document domain email entry event file folder "
    "group image index instance invoice item key log member message node note object order package permission policy project "
    "record repo repository resource role row rule schema secret server service table task team tenant token user volume webhook"
    "".split()
)
"""What somebody keeps (one of them): taken away, it is gone. A background or duplicates are taken out of what a call brings."""
_BEFORE, _BEHIND = (
    frozenset("a all any every my old the".split()),
    frozenset("and by for from if in of on to where with".split()),
)


def untrue_hints(tool: Json) -> tuple[str, ...]:
    """What a tool's hints say that its name denies: clients run what only reads without asking anybody."""
    hints = tool.get("annotations") if isinstance(tool, dict) else None
    verb, *rest = [word.lower() for word in _WORDS.findall(name_of(tool))] or [""]
    removes = verb in _REMOVES or (verb in _MAY_REMOVE and _is_kept(rest))
    if not isinstance(hints, dict) or hints.get("readOnlyHint") is not True or not removes:
        return ()
    return (f"its hints say that it only reads, its name that it does: {verb}",)


def untold_keys(tool: Json) -> tuple[str, ...]:
    """Arguments whose pattern only a private key fits while nothing that they say of themselves speaks of one."""
    found = []
    for schema in _schemas(tool):
        properties = schema.get("properties")
        for name, about in properties.items() if isinstance(properties, dict) else ():
            pattern = about.get("pattern") if isinstance(about, dict) else None
            if isinstance(pattern, str) and _PRIVATE_KEY.search(pattern) and not _KEY.search(_said_of(name, about)):
                found.append(name)
    return tuple(found[:4])


def _schemas(value: Json) -> Iterator[dict[str, Json]]:
    """Every object in a definition."""
    level = [value]
    while level:
        for one in level:
            if isinstance(one, dict):
                yield one
        level = [
            below
            for one in level
            if isinstance(one, dict | list)
            for below in (one.values() if isinstance(one, dict) else one)
        ]


def _is_kept(words: list[str]) -> bool:
    # "remove_user_account", "drop_old_tables", "remove_files_from_disk"; not "remove_image_background".
    named = list(takewhile(lambda word: word not in _BEHIND, dropwhile(_BEFORE.__contains__, words)))
    return bool(named) and all(
        not _KEPT.isdisjoint((one, one.removesuffix("s"), one.removesuffix("ies") + "y"))
        for one in (named[0], named[-1])
    )


def whole(definition: Json, longest: int) -> bool:
    """Whether all of a definition can be looked at: no more than ``MOST_VALUES``, none longer than ``longest``."""
    values = 0
    level = [definition]
    while level:
        values += len(level)
        if values > MOST_VALUES or any(isinstance(one, str) and len(one) > longest for one in level):
            return False
        level = [
            below
            for one in level
            if isinstance(one, dict | list)
            for below in (one.values() if isinstance(one, dict) else one)
        ]
    return True


def name_of(tool: Json) -> str:
    """A tool's name; empty for what is no tool."""
    name = tool.get("name") if isinstance(tool, Mapping) else None
    return name if isinstance(name, str) and 0 < len(name) <= MAX_NAME else ""


def outline(name: str) -> str:
    """What a name looks like at a glance: look-alike letters (a capital I is an l), digits, case and joints made one."""
    plain = unicodedata.normalize("NFKC", name).translate(_ALIKE).casefold().translate(_ALIKE)
    return re.sub(r"[\W_]+", "", plain).replace("i", "l").replace("rn", "m").replace("vv", "w")


def stem(name: str) -> str:
    """A name without the endings of its words and the number of its edition: what is one thing or several, does or did it,
    is the same.
    """
    words = (_ENDING.sub("", word.lower()) for word in _WORDS.findall(_EDITION.sub("", name)))
    return " ".join(_DOUBLED.sub(r"\1", word) for word in words)


def stems(name: str) -> tuple[str, str]:
    """The stems of a name as it stands, and with letters that stand twice standing once."""
    return stem(name), stem(_TWICE.sub(r"\1", name))


def siblings(name: str, other: str) -> bool:
    """Whether two names differ in a number that is part of their last word: base32 is no edition of base64."""
    own, others = _NUMBER.search(name), _NUMBER.search(other)
    return own is not None and others is not None and own[0] != others[0]


def latin(word: str) -> str:
    """A word in which letters of other scripts stand among Latin ones, with the Latin ones that they look like."""
    if word.isascii() or not any("a" <= sign <= "z" or "A" <= sign <= "Z" for sign in word):
        return word
    return word.translate(_LETTERS)


def may_be_latin(text: str) -> bool:
    """Whether any letter stands in it that only looks Latin; most languages have none, and ``latin`` changes no word of theirs."""
    return _LOOKS_LATIN.search(text) is not None


def mixed(name: str) -> bool:
    """Whether Latin letters stand beside Greek or Cyrillic ones, which no word needs."""
    scripts = {unicodedata.name(letter, "?").partition(" ")[0] for letter in _LETTER.findall(name)}
    return len(scripts & {"LATIN", "GREEK", "CYRILLIC"}) > 1
