"""Pins: what each server's tools were when they were first used or accepted, and what is held back because it is something else.

Values and rules only; ``shelf`` keeps them on disk. A server is known by what its owner calls it, never by what it says of itself.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from kaizen_security.contract.action import Json
from kaizen_security.mcp.definitions import (
    arguments,
    digest,
    mixed,
    name_of,
    outline,
    settled,
    siblings,
    stems,
    texts,
    untold_keys,
    untrue_hints,
    whole,
)
from kaizen_security.mcp.differences import differences
from kaizen_security.mcp.hidden import hidden, visible
from kaizen_security.mcp.orders import DEFINITION, MAX_TEXT, signs, weight

INSTRUCTIONS, SERVER = "(instructions)", "(server)"
"""Under these names stand, among what is held, a server's instructions and its own name; no tool is called so."""
MAX_TOOLS = 1000
"""Tools of one server that are kept; further ones are held back."""
SIMILAR = 0.85
"""Share of a description that a renamed tool has in common with the old one (Ratcliff and Obershelp)."""
AKIN = 0.6
"""The same of one tool in two versions of one server, which also takes the same arguments."""


class Why(Enum):
    """Why a tool is held back, or pinned."""

    SAME = "as pinned"
    FIRST = "first use"
    NEW = "new tool"
    NAMESAKE = "namesake of another server's tool"
    CHANGED = "changed tool"
    RENAMED = "renamed tool"
    SHADOWS = "tool of another server"
    ALIKE = "look-alike name"
    ORDERS = "instructions to the model"
    HIDDEN = "hidden text"
    TWICE = "name used twice"
    UNDECLARED = "tool that was not declared"
    TOO_LONG = "definition too long to be looked at"
    TOO_MANY = "too many tools"
    SERVER = "another server under this name"
    DAMAGED = "pins that cannot be read"

    @property
    def holds(self) -> bool:
        """Whether a tool is held back for it."""
        return self not in (Why.SAME, Why.FIRST) and not self.flags

    @property
    def flags(self) -> bool:
        """Whether a tool is let through for it, with a flag."""
        return self in (Why.NEW, Why.NAMESAKE)


@dataclass(frozen=True, slots=True)
class Pinned:
    """A tool as it was accepted. ``at`` in Unix seconds."""

    definition: Json
    digest: str
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Held:
    """A tool that is held back: as it is now, why, and what is wrong in one sentence each."""

    definition: Json
    digest: str
    why: Why
    said: tuple[str, ...] = ()
    at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    """One server's. ``calls_itself`` is the name that it gave itself at first use; ``instructions`` the digest of its instructions.

    ``accepted``  digests that a person accepted although something in them speaks against it
    """

    server: str
    calls_itself: str = ""
    instructions: str = ""
    tools: Mapping[str, Pinned] = field(default_factory=dict)
    held: Mapping[str, Held] = field(default_factory=dict)
    accepted: frozenset[str] = frozenset()

    @property
    def known(self) -> bool:
        """Whether its tools were ever listed."""
        return bool(self.tools or self.held)


@dataclass(frozen=True, slots=True)
class Ruling:
    """What holds for one listed tool. ``said``: one sentence for each thing that is wrong."""

    name: str
    definition: Json
    digest: str
    why: Why
    said: tuple[str, ...] = ()


def judged(
    pins: Pins,
    listed: Iterable[Json],
    others: Iterable[Pins],
    *,
    locked: bool = False,
    apart: bool = False,
    partial: bool = False,
) -> tuple[Ruling, ...]:
    """What holds for each tool of a list, in its order. ``others``: what is pinned of other servers.

    ``locked``: only what is pinned already is let through, nothing is trusted on first use. What has no name is left out.
    ``apart``: the client keeps the tools of several servers apart, and this is the server's first list: a name that another server
    has as well takes none of its calls, and is no surprise (ADR 0016).
    ``partial``: it is one page of a list; a tool that it names may be on another one.
    """
    named = [tool for tool in listed if name_of(tool)]
    around = _Around(pins, tuple(others), frozenset(map(name_of, named)), locked=locked, apart=apart, partial=partial)
    return tuple(around.rule(tool) for tool in named)


class _Around:
    """The names that one list is compared with."""

    def __init__(
        self,
        pins: Pins,
        others: tuple[Pins, ...],
        listed: frozenset[str],
        *,
        locked: bool,
        apart: bool,
        partial: bool,
    ) -> None:
        self._pins = pins
        self._listed = listed
        self._locked = locked
        self._apart = apart
        self._partial = partial
        self._seen: set[str] = set()
        self._outlines = {outline(name): (name, pins.server) for name in pins.tools}
        self._strangers: dict[str, tuple[Pins, Pinned]] = {}
        self._stems: dict[str, str] = {}
        for other in others:
            for name, pinned in other.tools.items():
                self._strangers[name] = (other, pinned)
                self._outlines.setdefault(outline(name), (name, other.server))
                for key in stems(name):
                    self._stems.setdefault(key, name)

    def rule(self, tool: Json) -> Ruling:
        name, now = name_of(tool), digest(tool)
        why, said = self._why(tool, name, now)
        self._seen.add(name)
        self._outlines.setdefault(outline(name), (name, self._pins.server))
        return Ruling(name, tool, now, why, said)

    def _why(self, tool: Json, name: str, now: str) -> tuple[Why, tuple[str, ...]]:
        if name in self._seen:
            return Why.TWICE, (f"the list has {visible(name)} twice",)
        pinned = self._pins.tools.get(name)
        if pinned is not None:
            if pinned.digest == now:
                return Why.SAME, ()
            return Why.CHANGED, tuple(differences(pinned.definition, tool))
        if now in self._pins.accepted:
            return Why.SAME, ()
        flagged: tuple[Why, tuple[str, ...]] = (Why.NEW if self._pins.known else Why.FIRST), ()
        for check in (
            self._whole,
            self._hidden,
            self._orders,
            self._alike,
            self._inflected,
            self._shadows,
            self._renamed,
            self._bounds,
        ):
            found = check(tool, name, now)
            if found is not None and found[0].holds:
                return found
            flagged = found or flagged
        return flagged

    def _whole(self, tool: Json, name: str, now: str) -> tuple[Why, tuple[str, ...]] | None:
        if whole(tool, MAX_TEXT):
            return None
        return Why.TOO_LONG, (
            f"a text has more than {MAX_TEXT} characters, or there are too many of them to look at all",
        )

    def _hidden(self, tool: Json, name: str, now: str) -> tuple[Why, tuple[str, ...]] | None:
        found = [f"{one.kind}: {one.shown}" for text in texts(tool) for one in hidden(text, definition=True)]
        return (Why.HIDDEN, tuple(dict.fromkeys(found))[:8]) if found else None

    def _orders(self, tool: Json, name: str, now: str) -> tuple[Why, tuple[str, ...]] | None:
        strangers = {
            other: pins.server
            for other, (pins, _) in self._strangers.items()
            if other not in self._pins.tools and other not in self._listed
        }
        own = self._listed | self._pins.tools.keys()
        found = signs(texts(tool), strangers=strangers, asked=arguments(tool), own=own, partial=self._partial)
        untrue = untrue_hints(tool) + tuple(
            f"only a private key fits what it asks for as {visible(key)}, and it does not say so"
            for key in untold_keys(tool)
        )
        if weight(found) < DEFINITION and not untrue:
            return None
        return Why.ORDERS, untrue + tuple(f'{sign.kind}: "{visible(sign.words)}"' for sign in found)

    def _alike(self, tool: Json, name: str, now: str) -> tuple[Why, tuple[str, ...]] | None:
        if mixed(name):
            return Why.ALIKE, (f"{visible(name)} mixes letters of several scripts",)
        twin, server = self._outlines.get(outline(name), (name, ""))
        plain = twin.isascii() and name.isascii() and _joints(twin) == _joints(name)
        if twin == name or (server == self._pins.server and plain):
            return None
        return Why.ALIKE, (f"{visible(name)} looks like {visible(twin)} of {server}",)

    def _inflected(self, tool: Json, name: str, now: str) -> tuple[Why, tuple[str, ...]] | None:
        """One that takes another server's calls under its name in the plural, or in another form of its words."""
        twin = next((self._stems[key] for key in stems(name) if key in self._stems), name)
        if twin == name or name in self._strangers or self._apart or siblings(name, twin):
            return None
        other = self._strangers[twin]
        wanted, own = _wanted(other[1].definition), _arguments(tool, "properties")
        if not wanted or not wanted <= own or self._same_software(other, tool):
            return None
        return Why.ALIKE, (f"{visible(name)} is {visible(twin)} of {other[0].server} in another form of its words",)

    def _shadows(self, tool: Json, name: str, now: str) -> tuple[Why, tuple[str, ...]] | None:
        other = self._strangers.get(name)
        if other is None or other[1].digest == now or self._same_software(other, tool):
            return None
        takes = not self._apart and _takes_the_calls_of(tool, other[1].definition)
        why = Why.SHADOWS if takes else Why.NAMESAKE
        return why, (f"{visible(name)} is a tool of {other[0].server}, with another definition",)

    def _same_software(self, other: tuple[Pins, Pinned], tool: Json) -> bool:
        """The same server for another folder or account is no shadow of itself; that it says so is not enough."""
        pins, pinned = other
        itself = self._pins.calls_itself
        return bool(itself) and pins.calls_itself == itself and _alike(pinned.definition, tool)

    def _renamed(self, tool: Json, name: str, now: str) -> tuple[Why, tuple[str, ...]] | None:
        for old, pinned in self._pins.tools.items():
            likeness = _likeness(pinned.definition, tool)
            gone = old not in self._listed
            same = likeness >= SIMILAR or outline(old) == outline(name)
            same = same or (outline(old) in outline(name) and _takes_its_place(pinned.definition, tool))
            if likeness == 1.0 or (gone and same):
                before = (
                    {**pinned.definition, "name": name} if isinstance(pinned.definition, dict) else pinned.definition
                )
                return Why.RENAMED, (f"it is {visible(old)} under another name", *differences(before, tool))
        return None

    def _bounds(self, tool: Json, name: str, now: str) -> tuple[Why, tuple[str, ...]] | None:
        if self._locked:
            return Why.UNDECLARED, ("only pinned tools are let through (locked)",)
        if len(self._pins.tools) + len(self._seen) >= MAX_TOOLS:
            return Why.TOO_MANY, (f"more than {MAX_TOOLS} tools",)
        return None


def _joints(name: str) -> str:
    return "".join(sign for sign in name.casefold() if sign.isalnum())


def _takes_the_calls_of(tool: Json, original: Json) -> bool:
    """Whether calls that are meant for ``original`` would fit ``tool``: what a shadow needs, and a namesake seldom does."""
    own, wanted = _arguments(tool, "properties"), _wanted(original)
    return not own or wanted <= own or (own < wanted and len(own) >= max(2, len(wanted) / 2))


def _wanted(tool: Json) -> frozenset[str]:
    """The arguments that a call of it has."""
    return _arguments(tool, "required") or _arguments(tool, "properties")


def arguments_of(tool: Json) -> frozenset[str]:
    """The names of the arguments that a definition has."""
    return _arguments(tool, "properties")


def _takes_its_place(old: Json, new: Json) -> bool:
    """Whether a tool that came as another one went takes the same arguments, and at least one."""
    return bool(_arguments(old, "properties")) and _arguments(old, "properties") == _arguments(new, "properties")


def _alike(one: Json, other: Json) -> bool:
    """Whether two definitions take the same arguments and are described in nearly the same words."""
    if _arguments(one, "properties") != _arguments(other, "properties"):
        return False
    old, new = (str(tool.get("description", ""))[:500] if isinstance(tool, dict) else "" for tool in (one, other))
    return difflib.SequenceMatcher(None, old, new, autojunk=False).ratio() >= AKIN


def _arguments(tool: Json, key: str) -> frozenset[str]:
    schema = tool.get("inputSchema") if isinstance(tool, dict) else None
    names = schema.get(key) if isinstance(schema, dict) else None
    return frozenset(name for name in names if isinstance(name, str)) if isinstance(names, dict | list) else frozenset()


def _likeness(before: Json, after: Json) -> float:
    """How much of the description they share; 0 when one has none to speak of."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return 0.0
    if {**before, "name": ""} == {**after, "name": ""} and len(before) > 2:
        return 1.0
    old, new = before.get("description"), after.get("description")
    if not isinstance(old, str) or not isinstance(new, str) or min(len(old), len(new)) < 40:
        return 0.0
    matcher = difflib.SequenceMatcher(None, old[:500], new[:500], autojunk=False)
    return matcher.ratio() if matcher.quick_ratio() >= SIMILAR else 0.0


# --- what follows -------------------------------------------------------------------------------------------------------


def settle(pins: Pins, rulings: Iterable[Ruling], now: float) -> Pins:
    """The pins after a list was judged: first uses pinned, what is wrong held, what is right again released.

    ``now`` in Unix seconds.
    """
    tools, held = dict(pins.tools), dict(pins.held)
    for ruling in rulings:
        if ruling.why.holds:
            if ruling.name not in held or held[ruling.name].digest != ruling.digest:
                held[ruling.name] = Held(settled(ruling.definition), ruling.digest, ruling.why, ruling.said, now)
            continue
        held.pop(ruling.name, None)
        if ruling.name not in tools:
            tools[ruling.name] = Pinned(settled(ruling.definition), ruling.digest, now)
    return pins if (tools, held) == (pins.tools, pins.held) else replace(pins, tools=tools, held=held)


def accept(pins: Pins, names: Iterable[str], now: float) -> Pins:
    """A person accepts what is held under these names, as it is now. Raises KeyError for what is not held."""
    tools, held, accepted = dict(pins.tools), dict(pins.held), set(pins.accepted)
    itself, instructions = pins.calls_itself, pins.instructions
    for name in names:
        one = held.pop(name)
        accepted.add(one.digest)
        if name == SERVER:
            itself = str(one.definition)
        elif name == INSTRUCTIONS:
            instructions = one.digest
        else:
            tools[name] = Pinned(one.definition, one.digest, now)
    return replace(
        pins, tools=tools, held=held, accepted=frozenset(accepted), calls_itself=itself, instructions=instructions
    )


def introduced(pins: Pins, itself: str, instructions: str, wrong: tuple[str, ...], now: float) -> Pins:
    """The pins after a server said who it is. ``wrong``: what is wrong with its instructions."""
    if not pins.known and not pins.calls_itself:
        pins = replace(
            pins, calls_itself=itself, instructions="" if wrong or not instructions else digest(instructions)
        )
    held = {name: one for name, one in pins.held.items() if name not in (SERVER, INSTRUCTIONS)}
    if itself and pins.calls_itself and itself != pins.calls_itself:
        said = f"it calls itself {visible(itself)}, and was pinned as {visible(pins.calls_itself)}"
        held[SERVER] = Held(itself, digest(itself), Why.SERVER, (said,), now)
    if instructions:
        mark = digest(instructions)
        if mark != pins.instructions and mark not in pins.accepted:
            why = Why.ORDERS if wrong else Why.CHANGED
            sentences = wrong or ("the instructions are not those that were pinned",)
            held[INSTRUCTIONS] = Held(instructions, mark, why, sentences, now)
    return replace(pins, held=held)
