"""Canaries: values that the owner has put out as bait and that nobody has a use for, known by keyed hashes alone.

A canary is letters and digits, so that it stands alone in most texts; it is looked for in every run of them, whatever case it
is in, and in runs that are a little longer than itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import array, obj, text

SHORTEST = 16
LONGEST = 64
MOST = 1024
MOST_WINDOWS = 64
"""Places tried in one run that is longer than a canary."""

_RUN = re.compile(r"[A-Za-z0-9]{16,}")


@dataclass(frozen=True, slots=True)
class Canaries:
    """``names`` by digest. Without any, looking costs nothing."""

    key: bytes = b""
    names: Mapping[str, str] = field(default_factory=dict)
    lengths: frozenset[int] = frozenset()

    def find(self, said: str) -> str:
        """The name of the first canary in a text, ``""`` when there is none."""
        if not self.names:
            return ""
        for run in _RUN.findall(said):
            for piece in self._pieces(run):
                name = self.names.get(digest(self.key, piece))
                if name is not None:
                    return name
        return ""

    def _pieces(self, run: str) -> Iterator[str]:
        for length in self.lengths:
            for at in range(min(len(run) - length + 1, MOST_WINDOWS)):
                yield run[at : at + length]


NO_CANARIES = Canaries()


def digest(key: bytes, value: str) -> str:
    """What is kept of a canary: 128 bits of keyed BLAKE2b (RFC 7693), hexadecimal."""
    return blake2b(value.lower().encode(), key=key, digest_size=16).hexdigest()


def row(key: bytes, name: str, value: str) -> dict[str, Json]:
    """A canary as it is kept. Raises InvalidInput."""
    if not SHORTEST <= len(value) <= LONGEST or not (value.isalnum() and value.isascii()):
        raise InvalidInput("canary", f"must be {SHORTEST} to {LONGEST} letters and digits")
    return {"name": name, "length": len(value), "digest": digest(key, value)}


def from_json(document: Json) -> Canaries:
    """The canaries in a document ``{"key": …, "canaries": [{"name", "length", "digest"}, …]}``. Raises InvalidInput."""
    doc = obj(document, "canaries")
    try:
        key = bytes.fromhex(text(doc, "key", "canaries.", limit=128))
    except ValueError as err:
        raise InvalidInput("canaries.key", "must be hexadecimal") from err
    if len(key) < 16:
        raise InvalidInput("canaries.key", "must have 16 bytes or more")
    names: dict[str, str] = {}
    lengths = set()
    for number, item in enumerate(array(doc, "canaries", "canaries.", limit=MOST)):
        path = f"canaries.canaries[{number}]"
        one = obj(item, path)
        length = one.get("length")
        if type(length) is not int or not SHORTEST <= length <= LONGEST:
            raise InvalidInput(path + ".length", f"must be from {SHORTEST} to {LONGEST}")
        found = text(one, "digest", path + ".", limit=32)
        if not re.fullmatch(r"[0-9a-f]{32}", found):
            raise InvalidInput(path + ".digest", "must be 32 hexadecimal digits")
        names[found] = text(one, "name", path + ".", limit=128)
        lengths.add(length)
    return Canaries(key, names, frozenset(lengths))
