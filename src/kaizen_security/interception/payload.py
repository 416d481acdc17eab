"""The body of a request on its way up: looked at in windows, the end of it held back until it has been seen with what follows.

Chunks are taken apart and written anew, so that where they were cut hides nothing; gzip and deflate are unpacked to be looked at,
and travel on as they came. Pure.
"""

from __future__ import annotations

import codecs
import re
import zlib
from collections.abc import Iterator

from kaizen_security.egress import http1
from kaizen_security.egress.body import Chunked, body
from kaizen_security.interception.scan import HOLD, WINDOW, Leak, Scan

SMALL = 4 << 20
"""Bytes that any packed body may unpack to; a longer one ``MOST_INFLATED`` times its own size. What is beyond is a bomb, and stays
packed."""
MOST_INFLATED = 64
_PACKED = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}
_TEXT = re.compile(rb"[\t\n\r\x20-\x7e]{8,}")
"""Runs of ASCII in what is no text; nothing that is looked for is shorter."""


class Payload:
    """One request's body. ``most``: bytes of it that are looked at, packed or not.

    ``unread`` says in one word what was not looked at, ``""`` when all was. ``leaks`` gather until they are taken out.
    """

    __slots__ = ("_body", "_held", "_left", "_scan", "_unpack", "_unpacked", "_window", "came", "leaks", "unread")

    def __init__(self, head: http1.Request, scan: Scan, *, most: int) -> None:
        self._body = body(http1.request_body(head))
        if isinstance(self._body, Chunked):
            self._body.payload = []
        self._scan = scan
        self._left = most
        self._held = b""
        self._window = b""
        self.came = 0
        self._unpacked = 0
        self.leaks: list[Leak] = []
        self.unread = ""
        self._unpack: zlib._Decompress | None = None
        codings = head.tokens(b"content-encoding")
        if codings not in ([], [b"identity"]):
            bits = _PACKED.get(codings[0]) if len(codings) == 1 else None
            if bits is None:
                self.unread = "encoding"
            else:
                self._unpack = zlib.decompressobj(bits)

    @property
    def done(self) -> bool:
        """All of it has come."""
        return self._body.done

    def take(self, data: bytes) -> tuple[int, bytes]:
        """How much of ``data`` belongs to the body, and what may be sent on by now. Raises Bad."""
        taken = self._body.take(data)
        if isinstance(self._body, Chunked):
            assert self._body.payload is not None
            payload = b"".join(self._body.payload)
            self._body.payload.clear()
        else:
            payload = data[:taken]
        self.came += len(payload)
        if not self.unread:
            self._see(payload)
        self._held += payload
        return taken, self._released()

    def _released(self) -> bytes:
        done = self.done
        # Of a packed body everything that has come has been looked at, but where in it the last plain bytes stand nobody knows.
        keep = 0 if done or self.unread else len(self._window) if self._unpack is None else HOLD
        ready = self._held[: max(0, len(self._held) - keep)]
        self._held = self._held[len(ready) :]
        if not isinstance(self._body, Chunked):
            return ready
        chunk = b"%x\r\n%b\r\n" % (len(ready), ready) if ready else b""
        if not done:
            return chunk
        trailers = b"".join(line + b"\r\n" for line in self._body.trailers)
        return b"%b0\r\n%b\r\n" % (chunk, trailers)

    def _see(self, payload: bytes) -> None:
        for plain in self._plain(payload):
            self._window += plain
            while len(self._window) >= HOLD + WINDOW:
                self._look(self._window[: HOLD + WINDOW])
                self._window = self._window[WINDOW:]
        if self.done or self.unread:
            self._look(self._window)
            self._window = b""
        elif self._unpack is not None and payload:
            self._look(self._window)
            self._window = self._window[-HOLD:]
        if self.done and isinstance(self._body, Chunked):
            for line in self._body.trailers:
                self._look(line)

    def _plain(self, payload: bytes) -> Iterator[bytes]:
        """The payload, unpacked in bounded steps, up to what is looked at."""
        if self._unpack is None:
            if len(payload) > self._left:
                self.unread = "bytes"
                payload = payload[: self._left]
            self._left -= len(payload)
            yield payload
            return
        packed = payload
        while packed and not self.unread:
            try:
                plain = self._unpack.decompress(packed, WINDOW)
            except zlib.error:
                self.unread = "encoding"
                return
            packed = self._unpack.unconsumed_tail
            self._left -= len(plain)
            self._unpacked += len(plain)
            if self._left < 0 or self._unpacked > SMALL + MOST_INFLATED * self.came:
                self.unread = "bytes"
            elif self._unpack.unused_data:
                # A second stream behind the first: nobody says that the origin reads it, nobody that it does not.
                self.unread = "encoding"
            yield plain

    def _look(self, window: bytes) -> None:
        if len(window) >= 8:
            self.leaks += self._scan.text(readable(window), "body")


def readable(data: bytes) -> str:
    """The text in ``data``, which may begin and end in the middle of a character; of other bytes the runs of ASCII."""
    at = 0
    while at < min(3, len(data)) and data[at] & 0xC0 == 0x80:
        at += 1
    try:
        return codecs.utf_8_decode(data[at:], "strict", False)[0]
    except UnicodeDecodeError:
        return b"\n".join(_TEXT.findall(data)).decode("ascii")
