"""Events: a stream of server-sent events (WHATWG HTML, section 9.2) taken apart and put together again. No input or output."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from kaizen_security.mcp.frames import Limits
from kaizen_security.mcp.large import Large

_END = re.compile(rb"\r\n\r\n|\n\n|\r\r|\r\n\n|\n\r\n")
_DATA = re.compile(rb"(?:\A|(?<=[\r\n]))data: ?")
_LINE = re.compile(rb"\r\n|\n|\r")


class TooLong(ValueError):
    """An event is over its bound."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event. ``raw``: its own bytes with the empty line at its end; ``data``: its data lines, joined by line feeds.

    ``fields``: its other fields, in order, without comments.
    """

    raw: bytes
    data: bytes
    fields: tuple[tuple[bytes, bytes], ...] = ()

    def carrying(self, data: bytes) -> bytes:
        """The same event with other data, which holds no line end; empty data makes an event that is only its id."""
        lines = [name + b": " + value for name, value in self.fields]
        if data:
            lines.append(b"data: " + data)
        return b"\n".join([*lines, b"", b""]) if lines else b""


@dataclass(frozen=True, slots=True)
class LargeEvent:
    """An event whose one line of data is in ``large``. ``head`` and ``tail``: its own bytes before the data and after it."""

    head: bytes
    large: Large
    tail: bytes

    def carrying(self, data: bytes) -> bytes:
        """The same event with other data."""
        return _event(self.head.rpartition(b"data")[0] + self.tail.lstrip(b"\r\n")).carrying(data)


class Events:
    """Fed with what was read, gives events. One with more than ``limits.frame`` bytes is kept on disk, so memory stays flat."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._buffer = bytearray()
        self._searched = 0
        self._head = b""
        self._large: Large | None = None
        self._ended = False

    def feed(self, data: bytes) -> Iterator[Event | LargeEvent]:
        """The events that are complete now. Raises TooLong for one that is over its bound, or large with several lines of data."""
        if self._large is not None and not self._ended:
            data = self._more(self._large, data)
        self._buffer += data
        if self._large is not None:
            yield from self._closed(self._large)
        if self._large is None:
            yield from self._small()
        if self._large is None and len(self._buffer) > self._limits.frame:
            self._begin()
            yield from self.feed(b"")

    def _small(self) -> Iterator[Event]:
        while True:
            found = _END.search(self._buffer, max(0, self._searched - 3))
            if found is None:
                self._searched = len(self._buffer)
                break
            if found.end() == len(self._buffer) and self._buffer.endswith(b"\r"):
                # The line feed that belongs to it may be still to come.
                self._searched = found.start()
                break
            raw = bytes(self._buffer[: found.end()])
            del self._buffer[: found.end()]
            self._searched = 0
            yield _event(raw)

    def _begin(self) -> None:
        """The line of data that stands in the buffer becomes a large one."""
        line = _DATA.search(self._buffer)
        if line is None:
            raise TooLong(f"an event has more than {self._limits.frame} bytes that are no data")
        self._head, self._large, self._ended = bytes(self._buffer[: line.end()]), Large(self._limits), False
        rest = bytes(self._buffer[line.end() :])
        self._buffer.clear()
        self._searched = 0
        self._buffer += self._more(self._large, rest)

    def _more(self, large: Large, data: bytes) -> bytes:
        """More of the large line; what follows it."""
        end = _LINE.search(data)
        large.feed(data[: end.start()] if end else data)
        if large.problem:
            raise TooLong(large.problem)
        self._ended = end is not None
        return data[end.start() :] if end else b""

    def _closed(self, large: Large) -> Iterator[LargeEvent]:
        """The large event, if its end is there."""
        found = _END.search(self._buffer) if self._ended else None
        if found is None or (found.end() == len(self._buffer) and self._buffer.endswith(b"\r")):
            if len(self._buffer) > self._limits.frame:
                raise TooLong("something large follows a large line")
            return
        tail = bytes(self._buffer[: found.end()])
        if _event(tail.lstrip(b"\r\n")).data:
            raise TooLong("a large event has several lines of data")
        del self._buffer[: found.end()]
        self._large, self._searched = None, 0
        yield LargeEvent(self._head, large, tail)

    def close(self) -> None:
        """Forget what was not finished."""
        if self._large is not None:
            self._large.close()


def _event(raw: bytes) -> Event:
    data: list[bytes] = []
    fields: list[tuple[bytes, bytes]] = []
    for line in _LINE.split(raw.removeprefix(b"\xef\xbb\xbf")):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            data.append(value)
        elif name:
            fields.append((name, value))
    return Event(raw, b"\n".join(data), tuple(fields))
