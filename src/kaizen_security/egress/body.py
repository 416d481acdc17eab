"""Bodies on their way through: how much of what arrived belongs to the message. Chunks are checked and passed on as they came."""

from __future__ import annotations

import re

from kaizen_security.egress.http1 import CHUNKED, UNTIL_CLOSE, Bad

MAX_CHUNK_LINE = 4096
MAX_TRAILER = 16384
_QUOTED = rb'"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*+"'
# A quote that does not end in its line would go on into the data for a reader who takes quotes at their word.
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*+(?:;(?:[\t\x20\x21\x23-\x7e\x80-\xff]|" + _QUOTED + rb")*+)?")
_TRAILER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}+):[^\x00-\x08\x0a-\x1f\x7f]*+")
_NOT_IN_TRAILERS = frozenset(
    b"transfer-encoding content-length host connection trailer te upgrade authorization proxy-authorization set-cookie cookie "
    b"content-encoding content-type content-range expect".split()
)


class Length:
    """A body of a known number of bytes."""

    __slots__ = ("_left", "done")

    def __init__(self, length: int) -> None:
        self._left = length
        self.done = not length
        """The message is complete."""

    def take(self, data: bytes) -> int:
        """How many of the bytes at the front of ``data`` belong to the body."""
        taken = len(data)
        if taken >= self._left:
            taken, self._left = self._left, 0
            self.done = True
        else:
            self._left -= taken
        return taken

    def end(self) -> bool:
        """The stream ended: whether the message was complete."""
        return self.done


class UntilClose:
    """A body that lasts until the stream ends."""

    __slots__ = ("done",)

    def __init__(self) -> None:
        self.done = False

    def take(self, data: bytes) -> int:
        """All of it."""
        return len(data)

    def end(self) -> bool:
        """The stream ended, and so did the message."""
        self.done = True
        return True


class Chunked:
    """Chunks (RFC 9112 section 7.1), extensions and trailers included. ``take`` raises Bad at the first wrong byte."""

    __slots__ = ("_left", "_line", "_state", "_trailer", "done", "payload", "trailers")

    def __init__(self) -> None:
        self.done = False
        self.payload: list[bytes] | None = None
        """A list here is given what the chunks hold."""
        self.trailers: list[bytes] = []
        self._state = "size"
        self._left = 0
        self._line = b""
        self._trailer = 0

    def take(self, data: bytes) -> int:
        """How many of the bytes at the front of ``data`` belong to the body."""
        at = 0
        while at < len(data) and not self.done:
            if self._state == "data":
                taken = min(self._left, len(data) - at)
                if self.payload is not None:
                    self.payload.append(data[at : at + taken])
                self._left -= taken
                at += taken
                if not self._left:
                    self._state = "gap"
            else:
                at = self._lines(data, at)
        return at

    def end(self) -> bool:
        """The stream ended: whether the message was complete."""
        return self.done

    def _lines(self, data: bytes, at: int) -> int:
        """Read on in a line that may have begun in an earlier read."""
        stop = data.find(b"\n", at)
        piece = data[at:] if stop < 0 else data[at : stop + 1]
        line = self._line + piece
        if len(line) > MAX_CHUNK_LINE + 2:
            raise Bad("a chunk's line is too long")
        if stop < 0:
            self._line = line
        else:
            self._line = b""
            if line[-2:] != b"\r\n":
                raise Bad("a chunk's line ends in a bare LF")
            self._complete(line[:-2])
        return at + len(piece)

    def _complete(self, line: bytes) -> None:
        if self._state == "gap":
            if line:
                raise Bad("a chunk is longer than its size")
            self._state = "size"
        elif self._state == "size":
            match = _SIZE.fullmatch(line)
            if match is None:
                raise Bad("a chunk's size is not a number")
            self._left = int(match[1], 16)
            self._state = "data" if self._left else "trailer"
        elif not line:
            self.done = True
        else:
            self._one_trailer(line)

    def _one_trailer(self, line: bytes) -> None:
        self._trailer += len(line)
        match = _TRAILER.fullmatch(line)
        if match is None or self._trailer > MAX_TRAILER:
            raise Bad("a trailer is not NAME: VALUE, or they are too long")
        if match[1].lower() in _NOT_IN_TRAILERS:
            raise Bad("a trailer that frames, routes or authenticates the message")
        if self.payload is not None:
            self.trailers.append(line)


Body = Length | Chunked | UntilClose


NOTHING = Length(0)
"""The body of nearly every request. As it takes nothing, it never changes."""


def body(framing: int) -> Body:
    """The body of a message whose length is told by ``framing`` (see ``http1``)."""
    if not framing:
        return NOTHING
    if framing == CHUNKED:
        return Chunked()
    return UntilClose() if framing == UNTIL_CLOSE else Length(framing)
