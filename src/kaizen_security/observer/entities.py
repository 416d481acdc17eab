"""Typed entities and words of a text, in one spelling each, so that a value is found again wherever it came from.

An address, an account, a URL, a file or a number is one token in canonical form (no scheme, no ``www.``, no trailing slash, letters
folded, ``1,100.00`` is ``1100``); beside it stand its parts as words. Words are cut to a stem by rule, not by dictionary.
Everything here is bounded by its caller: a text is cut before it is read.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b
from itertools import filterfalse

from kaizen_security.contract.tables import tlds
from kaizen_security.observer.grouped import in_groups, packed


class Kind(StrEnum):
    """What a value is. The first five name a place or a party: something can be sent there."""

    EMAIL = "address"
    HOST = "host"
    URL = "URL"
    ACCOUNT = "account"
    PHONE = "phone number"
    FILE = "file"
    DATE = "date"
    NUMBER = "number"
    ID = "id"
    WORD = "words"
    TEXT = "text"


PLACES = frozenset({Kind.EMAIL, Kind.HOST, Kind.URL, Kind.ACCOUNT, Kind.PHONE})

LONGEST_VALUE = 80
"""Characters up to which a value is one thing; longer, it is a text that may hold some."""

MOST_FINGERPRINTS = 16_384
"""Fingerprints that a process remembers, about 2.5 MB, so that it need not compute them again."""

_FINGERPRINTS: dict[int, int] = {}

_TLDS = frozenset(json.loads(tlds.load()))

_FILES = frozenset(
    "avi bak bash bat bin bmp bz2 cfg conf cpp css csv db dat doc docx eml env exe gif go gz htm html "
    "ico ini ipynb java jpeg jpg js "
    "json jsonl jsx key log lua m4a markdown md mov mp3 mp4 mpg odp ods odt ogg parquet pdf pem php pkl "
    "png ppt pptx ps1 py r rar rb "
    "rs rst rtf sh sql sqlite svg tar tex tgz tif tiff toml ts tsv tsx txt wav webm webp xls xlsx xml yaml yml zip".split()
)

_STOP = frozenset(
    "the a an and or of to in on at for with from by is are was were be been it its this that these "
    "those i me my you your he she his "
    "her they them their we our us as if not no do does did have has had will would can could should please all any each then also "
    "there here into about than so up out but what when where which who how just only some such very too".split()
)

_WORD = re.compile(r"[^\W_]+(?:[._@:/+'&=?#%~-]+[^\W_]+)*")
_ENTITY = re.compile(r"[^\W_]+(?:[._@:/+'&=?#%~-]+[^\W_]+)+|[^\W_]{9,}")
_LAST = frozenset("gdse")
_PARTS = re.compile(r"[^\W_]+")
_ESCAPE = re.compile(r"\\(?:u[0-9a-f]{4}|.)")
_SCHEME = re.compile(r"^(?:[a-z][a-z0-9+.-]{0,15}://)?(?:www\.)?")
_EMAIL = re.compile(r"^[^@\s/]+@[^@\s/]+\.[^@\s/.]+$")
_HOST = re.compile(r"^(?:[\w-]+\.)+([^\W\d_]{2,24})(?::\d{1,5})?$")
_ADDRESS = re.compile(r"^\d{1,3}(?:\.\d{1,3}){3}(?::\d{1,5})?$")
_NUMBER = re.compile(r"^\d+(?:[.,]\d+)*$")
_DATE = re.compile(
    r"^(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}(?:t\d{1,2}:\d\d(?::\d\d)?(?:\.\d+)?z?)?|\d{1,2}:\d\d(?::\d\d)?|\d{1,2}[/.]\d{1,2}[/.]\d{2,4})$"
)
_DIGITS = re.compile(r"\d")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_EDGES = " \t\r\n.,;:!?\"'`()[]{}<>*/\\~#@$€£%&=|"
"""What stands around a value and is no part of it: in running text ``/reports/3`` and ``#general`` are found without it."""


def fingerprint(text: str) -> int:
    """64 bits of BLAKE2b: the same in every process, for what a baseline keeps."""
    # An agent's words and names come again and again. They are known by Python's keyed hash, so that no text is kept.
    key = hash(text)
    found = _FINGERPRINTS.get(key)
    if found is None:
        found = int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
        if len(_FINGERPRINTS) >= MOST_FINGERPRINTS:
            _FINGERPRINTS.clear()
        _FINGERPRINTS[key] = found
    return found


def fold(text: str) -> str:
    """Compatibility characters, digits of all scripts, case and white space made one."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
        text = "".join(
            str(unicodedata.decimal(char)) if char > "9" and char.isdecimal() else char
            for char in text
            if unicodedata.category(char) != "Cf"
        )
        # Not ``casefold``: to domains, sharp s is another letter than ss (RFC 5894 7.2), and somebody else's.
        return text.replace("\u1e9e", "\u00df").lower()
    return text.lower()


def stem(word: str) -> str:
    """A word without its ending."""
    if word[-1:] in _LAST and word.isascii() and word.isalpha():
        for ending in ("ing", "ied", "ies", "ed", "es", "s", "e"):
            if word.endswith(ending) and len(word) - len(ending) >= 3:
                return word[: -len(ending)]
    return word


def canonical(value: str) -> str:
    """One value in one spelling."""
    text = " ".join(fold(value).split()).strip(_EDGES)
    if "." in text or ":" in text:
        text = _SCHEME.sub("", text).rstrip("/.")
    text = packed(text)
    return _number(text) if text[:1].isdigit() else text


def _number(text: str) -> str:
    if not _NUMBER.match(text) or text.count(".") > 1:
        return text
    whole, dot, rest = text.replace(",", "").partition(".")
    rest = rest.rstrip("0")
    return (whole.lstrip("0") or "0") + (dot + rest if rest else "")


def kind_of(value: str) -> Kind:
    """What a canonical value is."""
    if len(value) > LONGEST_VALUE or value.count(" ") >= 8:
        return Kind.TEXT
    if " " in value:
        return Kind.DATE if all(_DATE.match(part) for part in value.split()) else _spaced(value)
    if _EMAIL.match(value):
        return Kind.EMAIL
    if _DATE.match(value):
        return Kind.DATE
    if _NUMBER.match(value) and not _ADDRESS.match(value):
        return Kind.ACCOUNT if len(value) >= 12 and value.isdigit() else Kind.NUMBER
    return _named(value)


def _spaced(value: str) -> Kind:
    packed = value.replace(" ", "")
    return Kind.ACCOUNT if _account(packed) and len(value.split()[0]) <= 6 else Kind.WORD


def _account(value: str) -> bool:
    return len(value) >= 9 and value.isalnum() and sum(map(str.isdigit, value)) >= 6


def _named(value: str) -> Kind:
    head, slash, _ = value.partition("/")
    host = _HOST.match(head)
    if _ADDRESS.match(head) or (host and host.group(1) in _TLDS and (slash or host.group(1) not in _FILES)):
        return Kind.URL if slash else Kind.HOST
    if slash or ("." in value and value.rpartition(".")[2] in _FILES):
        return Kind.FILE
    if _account(value):
        return Kind.ACCOUNT
    digits = len(_DIGITS.findall(value))
    if digits >= 7 and digits + value.count("-") + value.count("+") == len(value):
        return Kind.PHONE
    return Kind.ID if digits and not value.isalpha() else Kind.WORD


def plain_words(text: str) -> list[str]:
    """The words of a text that are no part of an entity, as stems, common ones left out."""
    return [stem(word) for word in _split(fold(text)) if word.isalpha() and word not in _STOP]


def _split(text: str) -> Iterator[str]:
    """The words of a folded text in order; an entity is one word."""
    # No word goes over white space, and most pieces between two of it are a plain word already.
    for piece in text.split():
        if piece.isalpha():
            yield piece
        else:
            yield from _WORD.findall(piece)


def tokens(text: str) -> list[str]:
    """Words and entities of a text in order, canonical, common words left out. An entity is followed by its parts;
    accounts that are written in groups stand before all.
    """
    folded = fold(text)
    found = in_groups(folded)
    for word in _split(folded):
        if word.isalpha():
            if word not in _STOP:
                found.append(stem(word))
            continue
        found.append(canonical(word))
        if not word.isalnum():
            found += [stem(part) for part in _PARTS.findall(word) if part not in _STOP]
    return found


def places_read(text: str) -> Iterator[str]:
    """The places among the ``tokens`` of a text, of prose in a fraction of their time; also those behind escapes (JSON's)."""
    pieces = fold(text).split()
    yield from in_groups(" ".join(pieces))
    for piece in filterfalse(str.isalpha, pieces):
        yield from _places_of(piece)
        if "\\" in piece:
            for inner in _ESCAPE.sub(_unescaped, piece).split():
                yield from _places_of(inner)


def _places_of(piece: str) -> Iterator[str]:
    for word in _WORD.findall(piece):
        if word.isalpha():
            continue
        for one in (canonical(word), *(() if word.isalnum() else _PARTS.findall(word))):
            if not one.isalpha() and kind_of(one) in PLACES:
                yield one


def _unescaped(match: re.Match[str]) -> str:
    sign = match[0][1]
    return " " if sign in "bfnrt" else chr(int(match[0][2:], 16)) if len(match[0]) > 2 else sign


def places_in(text: str) -> list[tuple[str, Kind]]:
    """The places that stand in a longer canonical text, each once."""
    found = dict[str, Kind]()
    # Most pieces are plain words; they are passed by before anything dear is done.
    for piece in filterfalse(str.isalpha, text.split()):
        if piece.strip(_EDGES).isalpha():
            continue
        for match in _ENTITY.findall(piece):
            word = canonical(match)
            kind = kind_of(word)
            if kind in PLACES:
                found[word] = kind
    found |= dict.fromkeys(in_groups(text), Kind.ACCOUNT)
    return list(found.items())


def whole(value: str, kind: Kind | None = None) -> tuple[str, ...]:
    """The tokens that must stand together where a canonical value (of that ``kind``) came from: an entity is one, words are
    several, and so is a place with signs in it at which a text is parted, as a URL with a comma.
    """
    kind = kind or kind_of(value)
    if " " in value or kind in (Kind.WORD, Kind.TEXT) or (kind in PLACES and not _WORD.fullmatch(value)):
        return tuple(tokens(value))
    return (value,)


@lru_cache(maxsize=2048)
def words_of_name(name: str) -> tuple[str, ...]:
    """The words that a tool's or an argument's name is made of."""
    return _words_of_name(name) if len(name) <= 128 else _words_of_name.__wrapped__(name)


@lru_cache(maxsize=1024)
def _words_of_name(name: str) -> tuple[str, ...]:
    return tuple(
        stem(part) for part in _PARTS.findall(fold(_CAMEL.sub(" ", name).replace("_", " "))) if part not in _STOP
    )
