"""Structures of a fixed room: what a baseline is kept in, whatever was done to fill it.

Each is a flat array of machine numbers or one piece of bytes, so that its size in memory and in a document is known before
the first value arrives. Written as text they are base64 of little-endian numbers, and are the same on every machine.
"""

from __future__ import annotations

import sys
from array import array
from base64 import b64decode, b64encode
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from functools import lru_cache
from hashlib import sha256
from json import dumps

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput

MOST = 65_535
"""The largest number of 16 bits."""

LONGEST = 48
"""Bytes kept of a name, as it stands in a document. A longer one is kept as its beginning and 64 bits of its hash."""

_SIZES = {"B": 1, "H": 2, "I": 4, "Q": 8, "q": 8, "f": 4, "d": 8}
_PLAIN = frozenset(map(chr, range(32, 127))) - {'"', "\\"}


def pack(numbers: array[int] | array[float]) -> str:
    """The numbers as text."""
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return b64encode(numbers.tobytes()).decode()


def unpack(document: Json, code: str, most: int, name: str) -> array:  # type: ignore[type-arg]
    """Back from text: at most ``most`` numbers of the array type ``code``. Raises InvalidInput naming the field."""
    size = _SIZES[code]
    if not isinstance(document, str) or len(document) > (most * size + 2) // 3 * 4:
        raise InvalidInput(name, f"must be at most {most} numbers in base64")
    try:
        data = b64decode(document, validate=True)
    except ValueError as err:
        raise InvalidInput(name, "must be base64") from err
    if len(data) % size or len(data) > most * size:
        raise InvalidInput(name, f"must be at most {most} numbers of {size} bytes")
    numbers = array(code, data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


class Few:
    """A set of 64-bit hashes that holds at most ``room``: the smallest ones. Union is its merge, exact also when it is full."""

    __slots__ = ("_kept", "room", "turned")

    def __init__(self, room: int, kept: Iterable[int] = ()) -> None:
        self.room = room
        self.turned = 0
        self._kept = array("Q", sorted(set(kept))[:room])

    def __contains__(self, one: int) -> bool:
        at = bisect_left(self._kept, one)
        return at < len(self._kept) and self._kept[at] == one

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[int]:
        return iter(self._kept)

    def tells(self, one: int) -> bool:
        """Whether it would be here, had it been put in: what lies above a full room may have been, and nobody knows."""
        return len(self._kept) < self.room or one <= self._kept[-1]

    def add(self, one: int) -> None:
        """Put it in; when there is no room, the largest goes."""
        at = bisect_left(self._kept, one)
        if at < len(self._kept) and self._kept[at] == one:
            return
        if len(self._kept) >= self.room:
            self.turned += 1
            if at >= self.room:
                return
            self._kept.pop()
        self._kept.insert(at, one)

    def discard(self, one: int) -> None:
        """Take it out, if it is in."""
        at = bisect_left(self._kept, one)
        if at < len(self._kept) and self._kept[at] == one:
            self._kept.pop(at)

    def merge(self, other: Few) -> Few:
        """The union."""
        return Few(self.room, (*self._kept, *other._kept))

    def to_json(self) -> Json:
        """As text."""
        return pack(self._kept)

    @classmethod
    def from_json(cls, document: Json, room: int, name: str) -> Few:
        """Back from text. Raises InvalidInput."""
        return cls(room, unpack(document, "Q", room, name))


class Tools:
    """For at most ``room`` tools, by hash: in how many runs each was used. The smallest hashes stay."""

    __slots__ = ("_marks", "_runs", "room")

    def __init__(self, room: int) -> None:
        self.room = room
        self._marks, self._runs = array("Q"), array("I")

    def __len__(self) -> int:
        return len(self._marks)

    def __getitem__(self, mark: int) -> int:
        at = bisect_left(self._marks, mark)
        return self._runs[at] if at < len(self._marks) and self._marks[at] == mark else 0

    def items(self) -> Iterator[tuple[int, int]]:
        """Each tool's hash and the runs that used it."""
        return zip(self._marks, self._runs, strict=True)

    def add(self, mark: int, runs: int = 1) -> None:
        """``runs`` more runs that used the tool."""
        at = bisect_left(self._marks, mark)
        if at >= len(self._marks) or self._marks[at] != mark:
            if len(self._marks) >= self.room:
                if at >= self.room:
                    return
                self._marks.pop()
                self._runs.pop()
            self._marks.insert(at, mark)
            self._runs.insert(at, 0)
        self._runs[at] = min(self._runs[at] + runs, 2**32 - 1)

    def plus(self, other: Tools) -> Tools:
        """The runs of both."""
        both = Tools(self.room)
        for mark in sorted({*self._marks, *other._marks})[: self.room]:
            both.add(mark, self[mark] + other[mark])
        return both

    def to_json(self) -> Json:
        """Its two columns."""
        return [pack(self._marks), pack(self._runs)]

    @classmethod
    def from_json(cls, document: Json, room: int, name: str) -> Tools:
        """Back from its columns. Raises InvalidInput."""
        tools = cls(room)
        if not isinstance(document, list) or len(document) not in (0, 2):
            raise InvalidInput(name, "must be two columns")
        columns = [unpack(one, code, room, name) for one, code in zip(document, "QI", strict=False)]
        if len({len(one) for one in columns}) > 1:
            raise InvalidInput(name, "must be two columns of one length")
        for mark, runs in zip(*columns, strict=True):
            tools.add(mark, runs)
        return tools


class Requests:
    """Sketches of at most ``room`` requests, each with marks of the tools that were used for it. The smallest sketches stay."""

    __slots__ = ("_tools", "_words", "room")

    WORDS = 16
    """Words kept of a request: those with the smallest hashes, 32 bits each."""
    TOOLS = 12
    """Tools kept of a request: those with the smallest marks, 16 bits each."""

    def __init__(self, room: int) -> None:
        self.room = room
        # Rows of fixed length one after another, filled up with 0.
        self._words, self._tools = array("I"), array("H")

    def __len__(self) -> int:
        return len(self._words) // self.WORDS

    @classmethod
    def sketch(cls, words: Iterable[int]) -> frozenset[int]:
        """What is kept of a request's words (64-bit hashes)."""
        return frozenset(cls._least(words))

    @classmethod
    def _least(cls, words: Iterable[int]) -> list[int]:
        return sorted({word >> 32 or 1 for word in words})[: cls.WORDS]

    def __iter__(self) -> Iterator[tuple[frozenset[int], frozenset[int]]]:
        for at in range(len(self)):
            yield frozenset(self._row(at)) - {0}, frozenset(self._used(at)) - {0}

    def _row(self, at: int) -> array[int]:
        return self._words[at * self.WORDS : (at + 1) * self.WORDS]

    def _used(self, at: int) -> array[int]:
        return self._tools[at * self.TOOLS : (at + 1) * self.TOOLS]

    def add(self, words: Iterable[int], tools: Iterable[int]) -> None:
        """A request was served with ``tools`` (64-bit hashes)."""
        self._join(_filled(self._least(words), self.WORDS, "I"), {tool & MOST for tool in tools})

    def _join(self, row: array[int], tools: set[int]) -> None:
        at = bisect_left(range(len(self)), row, key=self._row)
        if at >= len(self) or self._row(at) != row:
            if len(self) >= self.room:
                if at >= self.room:
                    return
                del self._words[-self.WORDS :], self._tools[-self.TOOLS :]
            self._words[at * self.WORDS : at * self.WORDS] = row
            self._tools[at * self.TOOLS : at * self.TOOLS] = array("H", bytes(2 * self.TOOLS))
        both = sorted((tools | set(self._used(at))) - {0})[: self.TOOLS]
        self._tools[at * self.TOOLS : (at + 1) * self.TOOLS] = _filled(both, self.TOOLS, "H")

    def merge(self, other: Requests) -> Requests:
        """The requests of both, with the tools of both."""
        merged = Requests(self.room)
        merged._words, merged._tools = self._words[:], self._tools[:]
        for at in range(len(other)):
            merged._join(other._row(at), set(other._used(at)))
        return merged

    def to_json(self) -> Json:
        """Words and tools, row by row."""
        return [pack(self._words), pack(self._tools)]

    @classmethod
    def from_json(cls, document: Json, room: int, name: str) -> Requests:
        """Back from two columns. Raises InvalidInput."""
        requests = cls(room)
        if not isinstance(document, list) or len(document) not in (0, 2):
            raise InvalidInput(name, "must be words and tools")
        if document:
            words = unpack(document[0], "I", room * cls.WORDS, name)
            tools = unpack(document[1], "H", room * cls.TOOLS, name)
            if len(words) % cls.WORDS or len(words) // cls.WORDS * cls.TOOLS != len(tools):
                raise InvalidInput(name, f"must be rows of {cls.WORDS} words and {cls.TOOLS} tools")
            for at in range(len(words) // cls.WORDS):
                row = sorted(words[at * cls.WORDS : (at + 1) * cls.WORDS], key=lambda word: (word == 0, word))
                requests._join(array("I", row), set(tools[at * cls.TOOLS : (at + 1) * cls.TOOLS]))
        return requests


def _filled(numbers: list[int], length: int, code: str) -> array[int]:
    return array(code, [*numbers, *[0] * (length - len(numbers))])


@lru_cache(maxsize=1024)
def short(value: str) -> str:
    """``value`` as it is kept: itself while it takes at most 48 bytes in a document, else its beginning, ``…`` and 16 hex digits of
    its SHA-256.
    """
    if len(value) <= LONGEST and _cost(value) <= LONGEST:
        return value
    mark = "…" + sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    left, kept = LONGEST - len(mark.encode()), []
    for char in value[:LONGEST]:
        left -= _cost(char)
        if left < 0:
            break
        kept.append(char)
    return "".join(kept) + mark


def _cost(text: str) -> int:
    """Bytes in a document: an ASCII character that has to be escaped there takes up to six."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return len(text)
    return sum(
        1 if char in _PLAIN else len(dumps(char, ensure_ascii=False).encode("utf-8", "surrogatepass")) - 2
        for char in text
    )


_GAP = b"\xff"
"""Between names: a byte that UTF-8 never has."""


def _between(name: str) -> bytes:
    return _GAP + name.encode("utf-8", "surrogatepass") + _GAP


@lru_cache(maxsize=1024)
def needle(value: str) -> bytes:
    """``short(value)`` as it stands in every ``Names``: made once for all that are looked through."""
    return fresh_needle(value)


def fresh_needle(value: str) -> bytes:
    """``needle`` of what is hardly ever asked for twice: nothing is kept."""
    # Nearly all are words that stay as they are.
    plain = len(value) <= LONGEST and value.isascii() and value.isprintable() and '"' not in value and "\\" not in value
    return _GAP + value.encode() + _GAP if plain else _between(short(value))


_CEILING = 2**63 - 1


class Names:
    """How often each of a few short names came, the one that came first standing first. One piece of bytes and one array.

    ``text``  the names, in which a ``needle`` is found: a name is here when ``needle(name) in text``
    """

    __slots__ = ("_counts", "text")

    def __init__(self, counts: Iterable[tuple[str, int]] = ()) -> None:
        self.text = _GAP
        self._counts = array("Q")
        for name, count in counts:
            self.add(name, count)

    def __len__(self) -> int:
        return len(self._counts)

    def __iter__(self) -> Iterator[str]:
        return iter(
            [part.decode("utf-8", "surrogatepass") for part in self.text[1:-1].split(_GAP)] if self._counts else []
        )

    def __contains__(self, name: str) -> bool:
        return _between(name) in self.text

    def __getitem__(self, name: str) -> int:
        return self.count(_between(name))

    def count(self, sought: bytes) -> int:
        """How often the name came that ``needle`` made ``sought`` of."""
        at = self.text.find(sought)
        return self._counts[self.text.count(_GAP, 0, at)] if at >= 0 else 0

    def items(self) -> Iterator[tuple[str, int]]:
        """Names with their counts, in order."""
        return zip(self, self._counts, strict=True)

    def add(self, name: str, count: int = 1) -> None:
        """``count`` more of the name; a new one stands last."""
        sought = _between(name)
        found = self.text.find(sought)
        if found >= 0:
            at = self.text.count(_GAP, 0, found)
            self._counts[at] = min(self._counts[at] + count, _CEILING)
        else:
            self.text += sought[1:]
            self._counts.append(count)

    def pop_rarest(self) -> tuple[str, int]:
        """Take out the rarest, then first, name: which, and how often it came. Raises ValueError when there is none."""
        at = self._counts.index(min(self._counts))
        parts = self.text[1:-1].split(_GAP)
        gone = parts.pop(at)
        self.text = b"".join((_GAP, *(part + _GAP for part in parts)))
        return gone.decode("utf-8", "surrogatepass"), self._counts.pop(at)

    def needles(self) -> list[bytes]:
        """What is sought for each of the names."""
        return [_GAP + part + _GAP for part in self.text[1:-1].split(_GAP)] if self._counts else []

    def total(self) -> int:
        """All counts together."""
        return sum(self._counts)

    def to_json(self) -> dict[str, Json]:
        """Name to count."""
        return dict(self.items())
