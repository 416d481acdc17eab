"""Lines: the frames of a stream of bytes. A frame over its bound is handed out in pieces, so that memory stays flat."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kaizen_security.contract.canonical_values import builder


@dataclass(frozen=True, slots=True)
class Line:
    """A whole frame, without its line feed."""

    data: bytes


_line = builder(Line)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a frame over the bound; ``last`` closes it."""

    data: bytes
    last: bool


class Lines:
    """Fed with what was read, gives frames. ``limit``: bytes of a frame that is handed out whole."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._searched = 0
        self._over = False

    def feed(self, data: bytes) -> Iterator[Line | Piece]:
        """The frames that are complete now, and the pieces of one that is too long."""
        if not self._buffer and not self._over and len(data) <= self._limit and data.find(b"\n") == len(data) - 1:
            # One whole frame and nothing else, as most reads are: it need not be put together.
            if data.strip():
                yield _line(data[:-1])
            return
        self._buffer += data
        while True:
            at = self._buffer.find(b"\n", self._searched)
            if at < 0:
                break
            found = bytes(self._buffer[:at])
            del self._buffer[: at + 1]
            self._searched = 0
            if self._over or len(found) > self._limit:
                self._over = False
                yield Piece(found, last=True)
            elif found.strip():
                yield _line(found)
        self._searched = len(self._buffer)
        if self._over or self._searched > self._limit:
            self._over = True
            found = bytes(self._buffer)
            self._buffer.clear()
            self._searched = 0
            yield Piece(found, last=False)

    @property
    def rest(self) -> int:
        """Bytes of a frame that the stream did not finish."""
        return len(self._buffer)
