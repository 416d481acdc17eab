"""JSON as people write it: with comments and a comma too many, and where in the text each value stands.

Editors and MCP clients (VS Code, Cursor) read it. With the places a file can be edited so that everything else in it stays as it
is, comments, order and spelling included. Source: RFC 8259, and the JSON with comments of VS Code.
"""

from __future__ import annotations

import json
import re
from typing import TypeAlias

from kaizen_security.contract.action import Json

MAX_DEPTH = 64
Path: TypeAlias = "tuple[str | int, ...]"
Span: TypeAlias = "tuple[int, int]"
_DECODER = json.JSONDecoder()
_SKIPPED = re.compile(r"(?:[ \t\r\n]+|//[^\n]*|/\*[\s\S]*?\*/)*")
_SCALAR = re.compile(r"(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?)(?![\w.+-])")


def parsed(text: str) -> tuple[Json, dict[Path, Span]]:
    """The document, and the span of each value by the keys and numbers that lead to it. Raises ValueError naming the line.

    A key that an object has twice is refused: readers differ in which one they take.
    """
    reader = _Reader(text)
    document, at = reader.value((), reader.skip(0))
    at = reader.skip(at)
    if at != len(text):
        raise reader.wrong(at)
    return document, reader.spans


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.spans: dict[Path, Span] = {}

    def skip(self, at: int) -> int:
        """Past blanks and comments."""
        found = _SKIPPED.match(self.text, at)
        return found.end() if found else at

    def wrong(self, at: int, why: str = "it is no JSON") -> ValueError:
        return ValueError(f"{why} in line {self.text.count(chr(10), 0, at) + 1}")

    def value(self, path: Path, at: int) -> tuple[Json, int]:
        """A value and where it ends."""
        if len(path) > MAX_DEPTH:
            raise self.wrong(at, "it is nested too deep")
        first = self.text[at : at + 1]
        found: Json
        if first == "{":
            found, end = self._object(path, at + 1)
        elif first == "[":
            found, end = self._list(path, at + 1)
        elif first == '"':
            found, end = self._string(at)
        else:
            scalar = _SCALAR.match(self.text, at)
            if scalar is None:
                raise self.wrong(at)
            found, end = json.loads(scalar[0]), scalar.end()
        self.spans[path] = at, end
        return found, end

    def _string(self, at: int) -> tuple[str, int]:
        try:
            found, end = _DECODER.raw_decode(self.text, at)
        except ValueError as err:
            raise self.wrong(at) from err
        return str(found), end

    def _object(self, path: Path, at: int) -> tuple[dict[str, Json], int]:
        found: dict[str, Json] = {}
        at = self.skip(at)
        while self.text[at : at + 1] != "}":
            if self.text[at : at + 1] != '"':
                raise self.wrong(at)
            key, at = self._string(at)
            if key in found:
                raise self.wrong(at, "a key is there twice")
            at = self.skip(at)
            if self.text[at : at + 1] != ":":
                raise self.wrong(at)
            found[key], at = self.value((*path, key), self.skip(at + 1))
            at = self._next(at, "}")
        return found, at + 1

    def _list(self, path: Path, at: int) -> tuple[list[Json], int]:
        found: list[Json] = []
        at = self.skip(at)
        while self.text[at : at + 1] != "]":
            one, at = self.value((*path, len(found)), at)
            found.append(one)
            at = self._next(at, "]")
        return found, at + 1

    def _next(self, at: int, end: str) -> int:
        """Past the comma after a member; it may also stand after the last one."""
        at = self.skip(at)
        sign = self.text[at : at + 1]
        if sign == ",":
            return self.skip(at + 1)
        if sign != end:
            raise self.wrong(at)
        return at
