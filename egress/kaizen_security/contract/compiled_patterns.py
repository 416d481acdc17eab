"""Many patterns as one automaton: linear in the text, whatever the pattern (Thompson 1968; states are built when they are first
met).

Python's ``re`` backtracks, so ``(a+)+$`` in an organisation's policy would hang the agent that it protects. Here a text costs
one step for each character; a step that was seen before is a dictionary look-up, a new one is bounded by ``MAX_NODES``. What is
remembered is bounded too.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Sequence as Several

from kaizen_security.contract.canonical_text import tool
from kaizen_security.contract.compiled_syntax import Assertion, Chars, Choice, Node, Repeat, Sequence

MAX_NODES = 10_000
"""Nodes of all patterns of one set of policies, after repeats were written out."""
_MAX_STATES = 1000
_MAX_WEIGHT = 100_000
_MAX_CHARS = 4096
_FOLDED_RANGE = 512

_BEGIN, _PLAIN, _WORD = 0, 1, 2
_END = 3


class _State:
    """What may come next after one text: ``core`` are nodes, ``before`` is the kind of the last character."""

    __slots__ = ("ahead", "before", "core", "to")

    def __init__(self, core: frozenset[int], before: int) -> None:
        self.core = core
        self.before = before
        self.to: dict[int, _State] = {}
        self.ahead: dict[int, tuple[tuple[int, ...], tuple[int, ...]]] = {}


class Automaton:
    """All ``trees`` at once; ``match`` says which of them match the whole text. ``fold``: they are compared with what
    ``canonical.tool`` made of the text, so letters stand for their folded forms.

    Raises ValueError when the patterns are too large together.
    """

    def __init__(self, trees: Several[Node], *, fold: bool = False) -> None:
        self._fold = fold
        self._sets: list[Chars] = []
        self._set_ids: dict[Chars, int] = {}
        # One row a node: ("chars", set, next) | ("split", a, b) | ("look", kind, next) | ("match", tree, 0)
        self._nodes: list[tuple[str, int | str, int]] = []
        starts = []
        for i, tree in enumerate(trees):
            starts.append(self._build(tree, self._node("match", i, 0)))
        self._looks = any(kind == "look" and what in ("b", "B") for kind, what, _ in self._nodes)
        self._cuts = sorted({edge for chars in self._sets for low, high in chars.ranges for edge in (low, high + 1)})
        self._class_ids: dict[tuple[int, int], int] = {}
        self._example: list[str] = []
        self._chars: dict[str, int] = {}
        self._holds: list[dict[int, bool]] = [{} for _ in self._sets]
        self._root = frozenset(starts)
        self._states: dict[tuple[frozenset[int], int], _State] = {}
        self._weight = 0
        self.forgotten = 0
        """States dropped because there were too many."""

    def match(self, text: str) -> tuple[int, ...]:
        """The trees that match the whole of ``text``, in order."""
        state = self._state(self._root, _BEGIN)
        classes = self._chars
        for char in text:
            key = classes.get(char)
            if key is None:
                key = self._classify(char)
            following = state.to.get(key)
            if following is None:
                following = self._step(state, key)
            state = following
            if not state.core:
                return ()
        return self._ahead(state, _END)[1]

    # --- building ------------------------------------------------------------------------------------------------------------

    def _node(self, kind: str, what: int | str, following: int) -> int:
        if len(self._nodes) >= MAX_NODES:
            raise ValueError(f"the patterns are too large: more than {MAX_NODES} steps when repeats are written out")
        self._nodes.append((kind, what, following))
        return len(self._nodes) - 1

    def _build(self, tree: Node, following: int) -> int:
        """The node that begins ``tree`` and goes on to ``following``."""
        if isinstance(tree, Chars):
            return self._build_chars(tree, following)
        if isinstance(tree, Assertion):
            return self._node("look", tree.kind, following)
        if isinstance(tree, Sequence):
            for part in reversed(tree.parts):
                following = self._build(part, following)
            return following
        if isinstance(tree, Choice):
            start = self._build(tree.options[-1], following)
            for option in reversed(tree.options[:-1]):
                start = self._node("split", self._build(option, following), start)
            return start
        return self._build_repeat(tree, following)

    def _build_repeat(self, tree: Repeat, following: int) -> int:
        if tree.most is None:
            loop = self._node("split", following, following)
            body = self._build(tree.part, loop)
            self._nodes[loop] = ("split", body, following)
            following = loop
        else:
            out = following
            for _ in range(tree.most - tree.least):
                following = self._node("split", self._build(tree.part, following), out)
        for _ in range(tree.least):
            following = self._build(tree.part, following)
        return following

    def _build_chars(self, chars: Chars, following: int) -> int:
        if self._fold:
            low, high = chars.ranges[0] if chars.ranges else (0, 1)
            if low == high and len(chars.ranges) == 1 and not chars.classes and not chars.negated:
                for char in reversed(_folded_char(chr(low))):
                    following = self._node("chars", self._set(Chars(((ord(char), ord(char)),))), following)
                return following
            chars = _folded_set(chars)
        return self._node("chars", self._set(chars), following)

    def _set(self, chars: Chars) -> int:
        if chars not in self._set_ids:
            self._set_ids[chars] = len(self._sets)
            self._sets.append(chars)
        return self._set_ids[chars]

    # --- running -------------------------------------------------------------------------------------------------------------

    def _state(self, core: frozenset[int], before: int) -> _State:
        state = self._states.get((core, before))
        if state is None:
            if len(self._states) >= _MAX_STATES or self._weight > _MAX_WEIGHT:
                self.forgotten += len(self._states)
                self._states = {}
                self._weight = 0
            state = self._states[core, before] = _State(core, before)
            self._weight += len(core)
        return state

    def _step(self, state: _State, key: int) -> _State:
        word = _is_word(self._example[key])
        waiting, _ = self._ahead(state, _WORD if word else _PLAIN)
        core = []
        for node in waiting:
            _, what, following = self._nodes[node]
            if self._contains(int(what), key):
                core.append(following)
        before = (_WORD if word else _PLAIN) if self._looks else _PLAIN
        following_state = self._state(frozenset(core), before)
        state.to[key] = following_state
        return following_state

    def _ahead(self, state: _State, after: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Nodes that wait for a character, and trees that match, when what follows is of the kind ``after``."""
        if not self._looks and after == _WORD:
            after = _PLAIN
        found = state.ahead.get(after)
        if found is None:
            found = state.ahead[after] = self._closure(state, after)
        return found

    def _closure(self, state: _State, after: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
        waiting, matched = [], []
        seen = set(state.core)
        todo = list(state.core)
        while todo:
            node = todo.pop()
            kind, what, following = self._nodes[node]
            if kind == "chars":
                waiting.append(node)
                continue
            if kind == "match":
                matched.append(int(what))
                continue
            ways = (following,) if kind == "look" else (int(what), following)
            if kind == "look" and not _holds(str(what), state.before, after):
                continue
            for way in ways:
                if way not in seen:
                    seen.add(way)
                    todo.append(way)
        return tuple(waiting), tuple(sorted(matched))

    def _classify(self, char: str) -> int:
        """Characters that no pattern tells apart share a class."""
        kinds = _is_word(char) | char.isdecimal() << 1 | char.isspace() << 2
        cell = (bisect_right(self._cuts, ord(char)), kinds)
        key = self._class_ids.get(cell)
        if key is None:
            self._example.append(char)
            key = self._class_ids[cell] = len(self._example) - 1
        if len(self._chars) < _MAX_CHARS:
            self._chars[char] = key
        return key

    def _contains(self, chars: int, key: int) -> bool:
        known = self._holds[chars].get(key)
        if known is None:
            known = self._holds[chars][key] = _member(self._sets[chars], self._example[key])
        return known


def _holds(kind: str, before: int, after: int) -> bool:
    if kind == "^":
        return before == _BEGIN
    if kind == "$":
        return after == _END
    edge = (before == _WORD) != (after == _WORD)
    return edge if kind == "b" else not edge


def _is_word(char: str) -> bool:
    return char.isalnum() or char == "_"


_CLASSES = {"w": _is_word, "d": str.isdecimal, "s": str.isspace}


def _member(chars: Chars, char: str) -> bool:
    code = ord(char)
    inside = any(low <= code <= high for low, high in chars.ranges) or any(
        _CLASSES[letter.lower()](char) == letter.islower() for letter in chars.classes
    )
    return inside != chars.negated


def _folded_char(char: str) -> str:
    if char.isspace():
        return " "
    return tool(char)


def _folded_set(chars: Chars) -> Chars:
    """The set, with what its members become when a name is folded."""
    more = []
    for low, high in chars.ranges:
        if high - low < _FOLDED_RANGE:
            for code in range(low, high + 1):
                folded = unicodedata.normalize("NFKC", chr(code)).casefold()
                if len(folded) == 1 and ord(folded) != code:
                    more.append((ord(folded), ord(folded)))
    return Chars(chars.ranges + tuple(dict.fromkeys(more)), chars.classes, chars.negated) if more else chars
