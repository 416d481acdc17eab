"""Documents whose words must not leave, known by fingerprints alone: a keyed hash of every three words that follow one another."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import array, obj, text
from kaizen_security.observer.copies import words

MOST = 1024
MOST_ROWS = 100_000
"""Fingerprints of all documents together; of a longer one every second, fourth, … is kept."""
FEWEST = 3
"""Different rows of one document in one request that make a copy: five words in a row at the least."""
_KEY = re.compile(r"(?:[0-9a-f]{2}){16,64}")


@dataclass(frozen=True, slots=True)
class Documents:
    """``names`` by fingerprint. Without any, looking costs nothing."""

    key: bytes = b""
    names: Mapping[bytes, str] = field(default_factory=dict)

    def rows(self, said: str) -> Iterator[tuple[bytes, str]]:
        """The known fingerprints in a text, with the names of their documents."""
        for mark in fingerprints(self.key, said):
            name = self.names.get(mark)
            if name is not None:
                yield mark, name


def fingerprints(key: bytes, said: str) -> Iterator[bytes]:
    """64 bits of keyed BLAKE2b (RFC 7693) for every three words in a row, in one spelling (``observer.copies``)."""
    found = words(said)
    for row in zip(found, islice(found, 1, None), islice(found, 2, None), strict=False):
        yield blake2b(" ".join(row).encode("utf-8", "replace"), key=key, digest_size=8).digest()


def row(key: bytes, name: str, said: str, *, room: int) -> dict[str, Json]:
    """A document as it is kept. Raises InvalidInput: fewer than ``FEWEST`` rows say nothing, and there must be ``room``."""
    marks = sorted(set(fingerprints(key, said)))
    if len(marks) < FEWEST:
        raise InvalidInput("document", f"{name} has too few words to be known again")
    if room < FEWEST:
        raise InvalidInput("document", f"{MOST_ROWS} fingerprints are kept already")
    while len(marks) > room:
        # Which ones stay depends on the key alone, not on where in the text they stand.
        marks = marks[::2]
    return {"name": name, "rows": [mark.hex() for mark in marks]}


def size(rows: Iterable[Json]) -> int:
    """Fingerprints in documents as they are kept."""
    return sum(len(one["rows"]) for one in rows if isinstance(one, dict) and isinstance(one["rows"], list))


def from_json(document: Json) -> Documents:
    """The documents in ``{"key": …, "documents": [{"name", "rows"}, …]}``. Raises InvalidInput."""
    doc = obj(document, "documents")
    said = text(doc, "key", "documents.", limit=128)
    if not _KEY.fullmatch(said):
        raise InvalidInput("documents.key", "must be 32 to 128 hexadecimal digits")
    names: dict[bytes, str] = {}
    for number, item in enumerate(array(doc, "documents", "documents.", limit=MOST)):
        path = f"documents.documents[{number}]"
        one = obj(item, path)
        name = text(one, "name", path + ".", limit=128)
        for mark in array(one, "rows", path + ".", limit=MOST_ROWS):
            if not isinstance(mark, str) or not re.fullmatch(r"[0-9a-f]{16}", mark):
                raise InvalidInput(path + ".rows", "must be 16 hexadecimal digits each")
            names[bytes.fromhex(mark)] = name
    return Documents(bytes.fromhex(said), names)
