"""Large: a reply that is too large to be read whole, looked through as it arrives.

It is kept in an unlinked temporary file until its end is there, since only then it is known whether it may pass: some servers write
the id last. Of the message itself the skeleton is kept: everything at its top level, with ``null`` for what is nested there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO

from kaizen_security.mcp.frames import INVALID_REQUEST, Limits, Unreadable

SKELETON = 64 << 10
"""Bytes at the top level of a large message."""
AT_ONCE = 256 << 10

AT_FIRST, AT_LAST = 128 << 10, 96 << 10
"""Bytes at the beginning and at the end of a large message that are read for what they say."""

_PLAIN = re.compile(rb'[^"{}\[\]\r]*')
_QUOTED = re.compile(rb'[^"\\\r]*')
_ESCAPED = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))")
_SIGNS = {"n": "\n", "t": "\t", "r": "\n", "f": "\n", "b": " "}


class Large:
    """One large frame: ``feed`` it, then ``skeleton`` and ``chunks``. ``first`` holds its beginning, for whoever notes results."""

    def __init__(self, limits: Limits) -> None:
        import tempfile

        self._limits = limits
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed by ``close``, after it was sent on
        self._skeleton = bytearray()
        self._depth = 0
        self._quoted = False
        self._escaped = False
        self.size = 0
        self.first = b""
        self.problem = ""

    def feed(self, data: bytes) -> None:
        """The next piece."""
        self.size += len(data)
        if self.size > self._limits.large:
            self.problem = f"the message has more than {self._limits.large} bytes"
        if self.problem:
            return
        if len(self.first) < AT_ONCE:
            self.first += data[: AT_ONCE - len(self.first)]
        self._file.write(data)
        self._scan(data)

    def _scan(self, data: bytes) -> None:
        at = 0
        while at < len(data) and not self.problem:
            at = self._in_text(data, at) if self._quoted else self._between(data, at)

    def _in_text(self, data: bytes, at: int) -> int:
        if self._escaped:
            self._escaped = False
            self._keep(data[at : at + 1])
            return at + 1
        end = _end(_QUOTED, data, at)
        sign = data[end : end + 1]
        self._keep(data[at : end + 1])
        if sign == b'"':
            self._quoted = False
        elif sign == b"\\":
            self._escaped = True
        elif sign:
            self.problem = "a line end stands inside the message"
        return end + 1

    def _between(self, data: bytes, at: int) -> int:
        end = _end(_PLAIN, data, at)
        self._keep(data[at:end])
        sign = data[end : end + 1]
        if sign == b'"':
            self._keep(sign)
            self._quoted = True
        elif sign in (b"{", b"["):
            if self._depth == 0 and sign == b"[":
                self.problem = "a batch of this size is not taken"
            self._open(sign)
        elif sign in (b"}", b"]") and sign:
            self._close(sign)
        elif sign and (end + 1 < len(data) or self._depth):
            self.problem = "a line end stands inside the message"
        return end + 1

    def _open(self, sign: bytes) -> None:
        self._keep(sign if self._depth == 0 else b"null" if self._depth == 1 else b"")
        self._depth += 1
        if self._depth > self._limits.depth:
            self.problem = f"the message is nested deeper than {self._limits.depth}"

    def _close(self, sign: bytes) -> None:
        self._depth -= 1
        if self._depth < 0:
            self.problem = "the message is not valid JSON"
        elif self._depth == 0:
            self._skeleton += sign

    def _keep(self, data: bytes) -> None:
        if self._depth <= 1:
            self._skeleton += data
            if len(self._skeleton) > SKELETON:
                self.problem = f"the message has more than {SKELETON} bytes at its top level"

    def skeleton(self) -> bytes:
        """The message without what is nested in it. Raises Unreadable."""
        if self._quoted or self._depth:
            self.problem = self.problem or "the message is not valid JSON"
        if self.problem:
            raise Unreadable(INVALID_REQUEST, self.problem)
        return bytes(self._skeleton)

    def words(self) -> str:
        """The text of its beginning and of its end, with what JSON writes for a sign as that sign: what is most likely read."""
        self._file.seek(max(AT_FIRST, self.size - AT_LAST))
        return _read(self.first[:AT_FIRST]) + "\n\n" + _read(self._file.read(AT_LAST))

    def chunks(self) -> Iterator[bytes]:
        """The frame as it came, in pieces of at most ``AT_ONCE`` bytes."""
        self._file.seek(0)
        while data := self._file.read(AT_ONCE):
            yield data

    def close(self) -> None:
        """Forget it."""
        self._file.close()


def _read(raw: bytes) -> str:
    said = _ESCAPED.sub(_sign, raw.decode("utf-8", "replace"))
    # Two escapes may be one sign (RFC 8259, section 7).
    return said.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _sign(found: re.Match[str]) -> str:
    return chr(int(found[1], 16)) if found[1] else _SIGNS.get(found[2], found[2])


def _end(pattern: re.Pattern[bytes], data: bytes, at: int) -> int:
    found = pattern.match(data, at)
    return found.end() if found else at
