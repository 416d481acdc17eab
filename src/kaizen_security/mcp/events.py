"""Events: a stream of server-sent events (WHATWG HTML, section 9.2) taken apart and put together again. No input or output."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_END = re.compile(rb"\r\n\r\n|\n\n|\r\r|\r\n\n|\n\r\n")
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


class Events:
    """Fed with what was read, gives events. ``limit``: bytes of one event."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._searched = 0

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events that are complete now. Raises TooLong."""
        self._buffer += data
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
        if len(self._buffer) > self._limit:
            raise TooLong(f"an event has more than {self._limit} bytes")


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
