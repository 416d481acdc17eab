"""What a tool brought back, taken apart: fields with short values on one side, free text on the other.

Results come as JSON, as a literal of a programming language, as indented ``key: value`` lines, or as plain text. Only what the
format itself sets apart counts as a field: a line that looks like a field inside a quoted or folded text is text. If any line does
not fit the format, all of it is text.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from kaizen_security.contract.action import Json

LONGEST = 65_536
"""Characters read of one result; the rest is counted as unread."""

AGAIN = 512
"""Characters before that which are looked at once more with the rest: what stands there may go on in it."""

MOST_LEAVES = 4096
CUT = "…"
"""What stands where a client left something out (``client.arguments``), or ended a text that was too long."""
DEEPEST = 24

SHORT = 80
"""Characters, and eight words, up to which a field holds a value and not a text."""

_LINE = re.compile(r"^( *)((?:- +|-$)*)(.*)$")
_KEY = re.compile(r"^([\w][\w .@/-]{0,60}|'[^']{1,60}'|\"[^\"]{1,60}\"):(?: +(.*))?$")
_DIGITS = re.compile(r"\d+")
_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_ -]{0,31}$")
"""A key that names a field; any other one is a value itself."""


class Leaf(NamedTuple):
    """``path`` names the field, with ``[]`` for an item of a list and ``#`` for digits; ``$`` is the whole result."""

    path: str
    text: str
    free: bool


def leaves(content: Json) -> Iterator[Leaf]:
    """The leaves of a result, at most ``MOST_LEAVES``."""
    document = _parsed(content[:LONGEST]) if isinstance(content, str) else content
    yield from islice(_walk(document, "", 0), MOST_LEAVES)


def unread(content: Json, found: list[Leaf]) -> list[str] | None:
    """The texts of a result that ``found`` (its leaves) leaves out; None where something is not there to be looked at, as far
    as one can tell.
    """
    if len(found) >= MOST_LEAVES or any(leaf.text == CUT for leaf in found):
        return None
    if isinstance(content, str) and len(content) > LONGEST:
        return None if content.endswith(CUT) else [content[LONGEST - AGAIN :]]
    # The last text for which a client had room is cut in its middle: only of a very long result does its end say so.
    if found and found[-1].text.endswith(CUT) and sum([len(leaf.text) for leaf in found]) >= LONGEST:
        return None
    return [leaf.text[LONGEST - AGAIN :] for leaf in found if len(leaf.text) > LONGEST]


def _parsed(text: str) -> Json | list[Leaf]:
    head = text.lstrip()[:1]
    if head and head in "[{(":
        try:
            document: Json = json.loads(text)
            return document
        except (ValueError, RecursionError):
            pass
        try:
            literal: Json = ast.literal_eval(text.strip())
            return literal
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            return [Leaf("", text, True)]
    return _lines(text) or [Leaf("", text, True)]


def _walk(document: object, path: str, depth: int) -> Iterator[Leaf]:
    if isinstance(document, Leaf):
        yield _leaf(document.path, document.text, document.free)
    elif document is None:
        return
    elif depth > DEEPEST:
        yield Leaf(path, CUT, False)
    elif isinstance(document, dict):
        for key, value in document.items():
            name = str(key)
            known = _NAME.match(name) is not None
            if not known or " " in name:
                yield _leaf(path + "{}", name, False)
            yield from _walk(value, f"{path}.{_DIGITS.sub('#', name) if known else '*'}", depth + 1)
    elif isinstance(document, (list, tuple)):
        for value in document:
            yield from _walk(value, path if isinstance(value, Leaf) else path + "[]", depth + 1)
    else:
        yield _leaf(path, str(document), False)


def _leaf(path: str, text: str, free: bool) -> Leaf:
    # A value alone in a whole result is a field like any other.
    value = text.strip()
    short = len(value) <= SHORT and "\n" not in value and value.count(" ") < 8
    return Leaf(path or "$", text, not short or (free and " " in value))


def _lines(text: str) -> list[Leaf] | None:
    reader = _Reader()
    for line in text.split("\n"):
        if not reader.take(line.rstrip()):
            return None
    return reader.end()


class _Reader:
    """Reads indented ``key: value`` lines and ``- item`` lists. ``take`` is false as soon as a line does not fit."""

    def __init__(self) -> None:
        self._found: list[Leaf] = []
        self._keys: list[tuple[int, str]] = []
        self._quote = ""
        self._text: list[str] = []
        self._path = ""
        self._indent = -1
        self._block = False

    def take(self, line: str) -> bool:
        """One line, without its end."""
        if self._quote:
            self._text.append(line)
            if _closes(line, self._quote):
                self._flush()
            return True
        bare = line.lstrip(" ")
        if not bare:
            return True
        indent = len(line) - len(bare)
        if self._text and indent > self._indent and (self._block or not bare.startswith("- ")):
            self._text.append(bare)
            return True
        self._flush()
        return self._entry(line)

    def _entry(self, line: str) -> bool:
        match = _LINE.match(line)
        if match is None:
            return False
        spaces, dashes, rest = match.groups()
        indent = len(spaces)
        column = indent + len(dashes)
        self._keys = [
            entry
            for entry in self._keys
            if entry[0] < (column if dashes else indent) and not (dashes and entry[0] > indent)
        ]
        key = _KEY.match(rest)
        if key is None:
            if not dashes:
                return False
            self._begin("".join(f".{name}" for _, name in self._keys) + "[]", rest, indent)
            return True
        name = key.group(1).strip("'\"")
        if not _NAME.match(name):
            self._found.append(Leaf("".join(f".{one}" for _, one in self._keys) + "{}", name, False))
            name = "*"
        name = _DIGITS.sub("#", name)
        self._keys.append((column, name))
        self._begin("".join(f".{one}" for _, one in self._keys), key.group(2) or "", column)
        return True

    def _begin(self, path: str, value: str, indent: int) -> None:
        self._path, self._indent, self._block = path, indent, False
        if value[:1] in ("'", '"') and not (len(value) > 1 and _closes(value[1:], value[0])):
            self._quote, self._text = value[0], [value]
        elif value in ("|", ">", "|-", ">-", "|+", ">+"):
            self._block, self._text = True, [""]
        elif value and value not in ("[]", "{}", "null"):
            self._text = [value]

    def _flush(self) -> None:
        if self._text:
            text = "\n".join(self._text)
            if text[:1] in ("'", '"'):
                text = text.strip(text[0]).replace("''", "'").replace("\\n", "\n").replace("\\\n", " ")
            self._found.append(Leaf(self._path, text, self._block))
        self._text, self._quote, self._block = [], "", False

    def end(self) -> list[Leaf] | None:
        """Everything found; None when there was no key and no list at all."""
        self._flush()
        return self._found or None


def _closes(text: str, quote: str) -> bool:
    if quote == "'":
        bare = text.rstrip("'")
        return (len(text) - len(bare)) % 2 == 1
    bare = text[:-1].rstrip("\\")
    return text.endswith('"') and (len(text) - 1 - len(bare)) % 2 == 0
