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

LONGEST = 48
"""Bytes kept of a name, as it stands in a document. A longer one is kept as its beginning and 64 bits of its hash."""

_SIZES = {"B": 1, "H": 2, "I": 4, "Q": 8, "f": 4}
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


MOST = 65_535


class Counts:
    """Counts in a fixed number of cells, by hash: never too small, now and then too large.."""

    __slots__ = ("_cells",)

    def __init__(self, cells: int) -> None:
        self._cells = array("H", bytes(2 * cells))

    def __getitem__(self, one: int) -> int:
        return self._cells[one % len(self._cells)]

    def add(self, one: int) -> None:
        """Count one more, up to 65,535."""
        at = one % len(self._cells)
        if self._cells[at] < MOST:
            self._cells[at] += 1

    def merge(self, other: Counts) -> Counts:
        """Cell by cell, the larger."""
        merged = Counts(len(self._cells))
        merged._cells = array("H", map(max, self._cells, other._cells))
        return merged

    def to_json(self) -> Json:
        """As text; nothing when nothing was counted."""
        return pack(self._cells) if any(self._cells) else ""

    @classmethod
    def from_json(cls, document: Json, cells: int, name: str) -> Counts:
        """Back from text. Raises InvalidInput."""
        counts = cls(cells)
        found = unpack(document, "H", cells, name)
        if found:
            if len(found) != cells:
                raise InvalidInput(name, f"must be {cells} counts")
            counts._cells = found
        return counts


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

    def merge(self, other: Tools) -> Tools:
        """Of each tool the larger count."""
        merged = Tools(self.room)
        for mark in sorted({*self._marks, *other._marks})[: self.room]:
            merged.add(mark, max(self[mark], other[mark]))
        return merged

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

    __slots__ = ("_rows", "room")

    WORDS = 16
    """Words kept of a request: those with the smallest hashes, 32 bits each."""
    TOOLS = 12
    """Tools kept of a request: those with the smallest marks, 16 bits each."""

    def __init__(self, room: int) -> None:
        self.room = room
        self._rows: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        return len(self._rows)

    @classmethod
    def sketch(cls, words: Iterable[int]) -> frozenset[int]:
        """What is kept of a request's words (64-bit hashes)."""
        return frozenset(sorted({word >> 32 for word in words})[: cls.WORDS])

    def __iter__(self) -> Iterator[tuple[frozenset[int], frozenset[int]]]:
        for words, tools in self._rows.items():
            yield frozenset(array("I", words)), frozenset(array("H", tools))

    def add(self, words: Iterable[int], tools: Iterable[int]) -> None:
        """A request was served with ``tools`` (64-bit hashes)."""
        key = array("I", sorted(self.sketch(words))).tobytes()
        if key not in self._rows and len(self._rows) >= self.room:
            last = max(self._rows, key=_numbers)
            if _numbers(key) > _numbers(last):
                return
            del self._rows[last]
        self._join(key, (tool & MOST for tool in tools))

    def _join(self, key: bytes, tools: Iterable[int]) -> None:
        both = sorted({*array("H", self._rows.get(key, b"")), *tools})[: self.TOOLS]
        self._rows[key] = array("H", both).tobytes()

    def merge(self, other: Requests) -> Requests:
        """The requests of both, with the tools of both."""
        merged = Requests(self.room)
        for key in sorted({*self._rows, *other._rows}, key=_numbers)[: self.room]:
            for one in (self, other):
                merged._join(key, array("H", one._rows.get(key, b"")))
        return merged

    def to_json(self) -> Json:
        """Words and tools of each, in turn."""
        flat: list[Json] = []
        for key in sorted(self._rows, key=_numbers):
            flat += [pack(array("I", key)), pack(array("H", self._rows[key]))]
        return flat

    @classmethod
    def from_json(cls, document: Json, room: int, name: str) -> Requests:
        """Back from a list. Raises InvalidInput."""
        requests = cls(room)
        if not isinstance(document, list) or len(document) % 2 or len(document) > 2 * room:
            raise InvalidInput(name, f"must be words and tools of at most {room} requests")
        for words, tools in zip(document[::2], document[1::2], strict=True):
            key = array("I", sorted(unpack(words, "I", cls.WORDS, name))).tobytes()
            requests._join(key, unpack(tools, "H", cls.TOOLS, name))
        return requests


def _numbers(row: bytes) -> array[int]:
    return array("I", row)


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
    if text.isascii() and text.isalnum():
        return len(text)
    return sum(
        1 if char in _PLAIN else len(dumps(char, ensure_ascii=False).encode("utf-8", "surrogatepass")) - 2
        for char in text
    )


_GAP = b"\xff"
"""Between names: a byte that UTF-8 never has."""

_CEILING = 2**63 - 1


class Names:
    """How often each of a few short names came, the one that came first standing first. One piece of bytes and one array."""

    __slots__ = ("_counts", "_text")

    def __init__(self, counts: Iterable[tuple[str, int]] = ()) -> None:
        self._text = _GAP
        self._counts = array("Q")
        for name, count in counts:
            self.add(name, count)

    def __len__(self) -> int:
        return len(self._counts)

    def __iter__(self) -> Iterator[str]:
        return iter(
            [part.decode("utf-8", "surrogatepass") for part in self._text[1:-1].split(_GAP)] if self._counts else []
        )

    def __contains__(self, name: str) -> bool:
        return self._place(name) >= 0

    def __getitem__(self, name: str) -> int:
        at = self._place(name)
        return self._counts[at] if at >= 0 else 0

    def _place(self, name: str) -> int:
        at = self._text.find(_GAP + name.encode("utf-8", "surrogatepass") + _GAP)
        return self._text.count(_GAP, 0, at) if at >= 0 else -1

    def items(self) -> Iterator[tuple[str, int]]:
        """Names with their counts, in order."""
        return zip(self, self._counts, strict=True)

    def add(self, name: str, count: int = 1) -> None:
        """``count`` more of the name; a new one stands last."""
        at = self._place(name)
        if at >= 0:
            self._counts[at] = min(self._counts[at] + count, _CEILING)
        else:
            self._text += name.encode("utf-8", "surrogatepass") + _GAP
            self._counts.append(count)

    def pop_rarest(self) -> tuple[str, int]:
        """Take out the rarest, then first, name: which, and how often it came. Raises ValueError when there is none."""
        at = self._counts.index(min(self._counts))
        parts = self._text[1:-1].split(_GAP)
        gone = parts.pop(at)
        self._text = b"".join((_GAP, *(part + _GAP for part in parts)))
        return gone.decode("utf-8", "surrogatepass"), self._counts.pop(at)

    def total(self) -> int:
        """All counts together."""
        return sum(self._counts)

    def to_json(self) -> dict[str, Json]:
        """Name to count."""
        return dict(self.items())
