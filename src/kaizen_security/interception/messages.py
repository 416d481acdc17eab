"""WebSocket messages on their way up (RFC 6455 section 5): frames are unmasked to be looked at, and travel on as they came.

A frame leaves when all of it has been seen, the front of a long one before its end; with each the end of those before it is looked
at once more. The extension that packs messages is not agreed to. Pure.
"""

from __future__ import annotations

from collections.abc import Callable

from kaizen_security.interception.payload import readable
from kaizen_security.interception.scan import HOLD, WINDOW, Leak, Scan


class Unframed(ConnectionError):
    """What came is no masked frame without extensions: nobody can say what the origin would make of it."""


class Messages:
    """One connection's, from the client. ``found`` is told what is new; what it raises stops everything."""

    __slots__ = ("_begun", "_buffer", "_found", "_held", "_left", "_mask", "_phase", "_scan", "_window")

    def __init__(self, scan: Scan, found: Callable[[list[Leak]], None]) -> None:
        self._scan = scan
        self._found = found
        self._buffer = b""
        self._held = b""
        self._window = b""
        self._begun = False
        self._left = 0
        self._mask = b""
        self._phase = 0

    def take(self, data: bytes) -> bytes:
        """What may be sent on by now. Raises Unframed, and what ``found`` raises."""
        self._buffer += data
        released = b""
        while self._begun or self._header():
            piece = self._buffer[: self._left]
            self._buffer = self._buffer[len(piece) :]
            self._left -= len(piece)
            self._held += piece
            self._see(piece)
            if self._left:
                ready = self._held[: max(0, len(self._held) - len(self._window))]
                self._held = self._held[len(ready) :]
                return released + ready
            self._look(self._window)
            self._window = self._window[-HOLD:]
            released += self._held
            self._held = b""
            self._begun = False
        return released

    def _header(self) -> bool:
        """Begin with the next frame: whether its header is all there."""
        head = self._buffer[:14]
        if len(head) < 2:
            return False
        if head[0] & 0x70 or not head[1] & 0x80:
            raise Unframed("a frame that is not masked, or uses an extension")
        wide = {126: 2, 127: 8}.get(head[1] & 0x7F, 0)
        size = 2 + wide + 4
        if len(head) < size:
            return False
        self._left = int.from_bytes(head[2 : 2 + wide], "big") if wide else head[1] & 0x7F
        self._mask = head[2 + wide : size]
        self._phase = 0
        self._begun = True
        self._held += head[:size]
        self._buffer = self._buffer[size:]
        return True

    def _see(self, piece: bytes) -> None:
        turned = self._mask[self._phase :] + self._mask[: self._phase]
        key = turned * (len(piece) // 4 + 1)
        plain = int.from_bytes(piece, "big") ^ int.from_bytes(key[: len(piece)], "big")
        self._phase = (self._phase + len(piece)) % 4
        self._window += plain.to_bytes(len(piece), "big")
        while len(self._window) >= HOLD + WINDOW:
            self._look(self._window[: HOLD + WINDOW])
            self._window = self._window[WINDOW:]

    def _look(self, window: bytes) -> None:
        if len(window) >= 8:
            leaks = self._scan.text(readable(window), "message")
            if leaks:
                self._found(leaks)
