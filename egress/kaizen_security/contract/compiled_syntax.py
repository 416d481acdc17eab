"""The pattern language of policies: the part of Python's ``re`` syntax that an automaton can match in linear time.

Taken: literals, ``.``, classes, ``\\d \\w \\s`` and their opposites, groups, ``|``, ``* + ? {m,n}`` (also lazy), ``^ $ \\A \\Z
\\b \\B``, ``(?i)`` and ``(?s)`` in front. Refused with the reason: look-around, back-references, conditions, atomic groups,
possessive repeats, other flags.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

MAX_PATTERN = 1000
"""Characters of one pattern."""
MAX_NESTING = 40
MAX_REPEAT = 1000


@dataclass(frozen=True, slots=True)
class Chars:
    """One character out of ``ranges`` (first and last code points) or out of ``classes`` (letters of ``dDwWsS``), or not, when
    ``negated``.
    """

    ranges: tuple[tuple[int, int], ...] = ()
    classes: str = ""
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Sequence:
    """One after the other."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of them."""

    options: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """``part`` from ``least`` to ``most`` times; ``most`` None is without end."""

    part: Node
    least: int
    most: int | None


@dataclass(frozen=True, slots=True)
class Assertion:
    """Takes no character: ``^`` at the beginning, ``$`` at the end, ``b`` at a word's edge, ``B`` elsewhere."""

    kind: str


Node: TypeAlias = Chars | Sequence | Choice | Repeat | Assertion

DOT = Chars(((10, 10),), negated=True)
ANY = Chars(((0, 0x10FFFF),))

_FLAGS = re.compile(r"\(\?([a-zA-Z]+)\)")
_GROUP = re.compile(r"\(\?(?::|P<[^\W\d]\w{0,63}>)")
_BRACES = re.compile(r"\{([0-9]{0,4})(,?)([0-9]{0,4})\}")
_SIMPLE = {"a": 7, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_HEX = re.compile(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})")
_OCTAL = re.compile(r"0[0-7]{0,2}|[1-3][0-7]{2}")
_EDGES = {"A": "^", "Z": "$", "b": "b", "B": "B"}


def parse(pattern: str) -> Node:
    """The pattern as a tree. Raises ValueError saying what is not taken and where."""
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"the pattern is longer than {MAX_PATTERN} characters")
    reader = _Reader(pattern)
    tree = reader.choice(0)
    if reader.at < len(pattern):
        reader.refuse("a ) without its (")
    return tree


def literal(node: Node) -> str | None:
    """The only text that ``node`` matches, when it is one."""
    if isinstance(node, Chars):
        one = len(node.ranges) == 1 and node.ranges[0][0] == node.ranges[0][1] and not node.classes and not node.negated
        return chr(node.ranges[0][0]) if one else None
    if isinstance(node, Sequence):
        texts = [literal(part) for part in node.parts]
        return "".join(filter(None, texts)) if None not in texts else None
    return None


class _Reader:
    """Recursive descent; ``at`` is the next character."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.at = 0
        self.dot = DOT
        self._flags()

    def refuse(self, problem: str) -> NoReturn:
        raise ValueError(f"{problem} (at character {self.at + 1})")

    def _flags(self) -> None:
        while match := _FLAGS.match(self.pattern, self.at):
            if not set(match[1]) <= set("isu"):
                self.refuse("the only flags that are taken are i and s")
            if "s" in match[1]:
                self.dot = ANY
            self.at = match.end()

    def choice(self, depth: int) -> Node:
        if depth > MAX_NESTING:
            self.refuse(f"groups are nested deeper than {MAX_NESTING}")
        options = [self._sequence(depth)]
        while self.pattern.startswith("|", self.at):
            self.at += 1
            options.append(self._sequence(depth))
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def _sequence(self, depth: int) -> Node:
        parts: list[Node] = []
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            parts.append(self._repeated(self._atom(depth)))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _atom(self, depth: int) -> Node:
        char = self.pattern[self.at]
        if char == "(":
            return self._group(depth)
        if char == "[":
            return self._class()
        if char == "\\":
            return self._escape()
        if char in "*+?":
            self.refuse("nothing to repeat")
        if char == "{":
            self.refuse("a { that repeats nothing; write \\{ for the sign itself")
        self.at += 1
        if char in "^$":
            return Assertion(char)
        return self.dot if char == "." else _one(ord(char))

    def _group(self, depth: int) -> Node:
        if self.pattern.startswith("(?", self.at):
            match = _GROUP.match(self.pattern, self.at)
            if match is None:
                self.refuse(
                    "look-around, back-references, conditions, atomic groups and flags inside are not linear, so not taken"
                )
            self.at = match.end()
        else:
            self.at += 1
        tree = self.choice(depth + 1)
        if not self.pattern.startswith(")", self.at):
            self.refuse("a ( without its )")
        self.at += 1
        return tree

    def _repeated(self, part: Node) -> Node:
        least, most = self._quantifier()
        if least < 0:
            return part
        if isinstance(part, Assertion):
            self.refuse("nothing to repeat")
        following = self.pattern[self.at : self.at + 1]
        if following == "?":
            self.at += 1  # lazy: the same texts match
            following = self.pattern[self.at : self.at + 1]
        elif following == "+":
            self.refuse("possessive repeats are not linear, so not taken")
        if following in ("*", "+", "?") or _BRACES.match(self.pattern, self.at):
            self.refuse("a repeat of a repeat; put the inner one into a group")
        return Repeat(part, least, most)

    def _quantifier(self) -> tuple[int, int | None]:
        char = self.pattern[self.at : self.at + 1]
        if char in ("*", "+", "?"):
            self.at += 1
            return {"*": (0, None), "+": (1, None), "?": (0, 1)}[char]
        if char != "{":
            return -1, None
        match = _BRACES.match(self.pattern, self.at)
        if match is None or not (match[1] or match[3]):
            self.refuse("a { that repeats nothing; write \\{ for the sign itself")
        least = int(match[1] or 0)
        most = least if not match[2] else int(match[3]) if match[3] else None
        if max(least, most or 0) > MAX_REPEAT or (most is not None and most < least):
            self.refuse(f"a repeat is at most {MAX_REPEAT} and its ends are in order")
        self.at = match.end()
        return least, most

    def _escape(self) -> Node:
        char = self.pattern[self.at + 1 : self.at + 2]
        if char in _EDGES and char:
            self.at += 2
            return Assertion(_EDGES[char])
        if char and char in "dDwWsS":
            self.at += 2
            return Chars(classes=char)
        return _one(self._code(in_class=False))

    def _code(self, *, in_class: bool) -> int:
        """The code point after a backslash."""
        rest = self.pattern[self.at + 1 : self.at + 10]
        if not rest:
            self.refuse("a \\ at the end")
        if match := _HEX.match(rest):
            self.at += 1 + match.end()
            code = int(match[1] or match[2] or match[3], 16)
            if code > 0x10FFFF:
                self.refuse("no such character")
            return code
        if match := _OCTAL.match(rest):
            self.at += 1 + match.end()
            return int(match[0], 8)
        char = rest[0]
        if char in _SIMPLE or (in_class and char == "b"):
            self.at += 2
            return 8 if char == "b" else _SIMPLE[char]
        if char.isascii() and char.isalnum():
            self.refuse(
                "back-references are not linear, so not taken" if char.isdigit() else "an escape that means nothing"
            )
        self.at += 2
        return ord(char)

    def _class(self) -> Node:
        self.at += 1
        negated = self.pattern.startswith("^", self.at)
        self.at += negated
        ranges: list[tuple[int, int]] = []
        classes = ""
        first = True
        while first or not self.pattern.startswith("]", self.at):
            low = self._class_member()
            first = False
            if isinstance(low, str):
                classes += low
            elif self.pattern.startswith("-", self.at) and self.pattern[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                high = self._class_member()
                if isinstance(high, str) or high < low:
                    self.refuse("a range whose ends are not in order")
                ranges.append((low, high))
            else:
                ranges.append((low, low))
        self.at += 1
        return Chars(tuple(ranges), "".join(sorted(set(classes))), negated)

    def _class_member(self) -> int | str:
        if self.at >= len(self.pattern):
            self.refuse("a [ without its ]")
        char = self.pattern[self.at]
        if char != "\\":
            self.at += 1
            return ord(char)
        following = self.pattern[self.at + 1 : self.at + 2]
        if following and following in "dDwWsS":
            self.at += 2
            return following
        return self._code(in_class=True)


def _one(code: int) -> Chars:
    return Chars(((code, code),))
