"""What an agent tells: a call with the places, files and amounts that it names, and the run that it belongs to."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from kaizen_security.contract.action import ARGUMENTS, Action, Json
from kaizen_security.observer.entities import Kind, fold, places_in, words_of_name
from kaizen_security.observer.gap.command import direct, reads
from kaizen_security.observer.gap.expectation import canonical_path
from kaizen_security.observer.gap.place import Place, place_of
from kaizen_security.observer.gap.seen import Seen

NEVER = math.inf
MAX_VALUES = 2000
MAX_CHARACTERS = 64 << 10
"""Of one value of a call's arguments that is searched for places."""
MAX_NAMED = 64
"""Places, and files, that one call names."""
MAX_WORDS = 512
"""Words of its commands that are looked at."""
MAX_CARRIERS = 64
"""Connections of one call that are remembered."""
BASE = 32 << 10
"""Bytes that a run's calls may send to a host whatever they say: some TLS hellos, headers, retries."""
FURTHER = 12 << 10
"""What each call after the first adds to that: one hello, and headers as long as servers take them (8 KB)."""
READING = 128 << 10
"""The same of a command that only reads: a long list comes in many pages."""
FACTOR = 4
"""Bytes on the wire for a character that was told: UTF-8, escapes, base64 and a form around it."""

_PATH = re.compile(r"(?<![\w:/.])(?:~|\.{1,2})?/[^\s\"'`<>|;]{1,1024}|(?<!\w)[A-Za-z]:[\\/](?!/)[^\s\"'`<>|;]{1,1024}")
_AMOUNT = re.compile(r"(?<![\w.,])([0-9]{1,12}(?:\.[0-9]{1,3})?)\s?(bytes?|[kKMG]i?B)\b")
_UNITS = {"b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_OPAQUE = frozenset("command cmd code script program sql query path file filename attachment attachments".split())
"""Names of arguments whose value is not what is sent, but says where it comes from."""
_COMMANDS = frozenset("command cmd program script".split())
_WORD = re.compile(r"[\w.+/-]+")
_FILES = frozenset("path file filename folder directory".split())
_LINKS = frozenset("url uri link endpoint address href page site".split())
_VISITS = frozenset("fetch download browse crawl scrape visit curl wget request http navigate".split()) | {"get"}


@dataclass(slots=True, eq=False)
class Told:
    """One call. Times in Unix seconds, ``ended`` 0.0 while it lasts.

    ``places``             that it is addressed to: an argument, or the target, is that place and nothing else
    ``mentioned``          places that stand in a text among its arguments
    ``paths``              files that it names
    ``opaque``             what it sends cannot be known from what it tells: it names a file or a command
    ``commands``           words of the commands that it tells, if it tells any: names of programs among them
    ``direct``             its command is of programs that go where it says, or nowhere
    ``reads``              its command only asks, and is given nothing to send
    ``visits``             it says that it read a page
    ``size``               bytes that it speaks of
    ``due``                when it is looked through though its run goes on
    ``carriers``           connections that were seen and that it explains
    """

    id: str
    tool: str
    begun: float
    places: tuple[Place, ...] = ()
    mentioned: tuple[Place, ...] = ()
    paths: tuple[str, ...] = ()
    opaque: bool = False
    commands: frozenset[str] = frozenset()
    direct: bool = False
    reads: bool = False
    visits: bool = False
    size: int = 0
    ended: float = 0.0
    due: float = NEVER
    failed: bool = False
    carriers: list[Seen] = field(default_factory=list)
    settled: bool = False

    def carried_by(self, effect: Seen) -> None:
        """A connection that may have carried it; of too many, those that sent nothing are forgotten first."""
        if len(self.carriers) >= MAX_CARRIERS:
            self.carriers = [one for one in self.carriers if not one.hollow][-MAX_CARRIERS + 1 :]
        self.carriers.append(effect)

    @property
    def carried(self) -> bool:
        """Whether anything of it can have been sent: a connection that was refused, or that sent no byte, carried nothing."""
        return any(not effect.hollow for effect in self.carriers)


@dataclass(slots=True, eq=False)
class Account:
    """What is told of one run. ``said``: places that words of the agent name. ``timeless``: its steps state no times."""

    run_id: str
    begun: float
    last: float
    ended: float = 0.0
    timeless: bool = False
    calls: list[Told] = field(default_factory=list)
    said: set[str] = field(default_factory=set)
    unseen: set[tuple[str, str]] = field(default_factory=set)
    """(kind, what) of the gaps that were found: each once."""
    strange: set[tuple[str, str]] = field(default_factory=set)
    """(tool, host) of what no call explains while that is still learned."""
    sent: dict[str, int] = field(default_factory=dict)
    """Bytes by host, of connections whose bytes are known."""
    omitted: int = 0
    closed: bool = False
    """Looked through: it is over, or nothing more was told of it for too long."""


def told(action: Action, at: float) -> Told:
    """The call that an action of a cooperative source tells of."""
    names = _Names()
    if action.target:
        names.whole("", action.target)
    for key in ARGUMENTS:
        if key in action.metadata:
            names.walk(action.metadata[key])
    words = set(words_of_name(action.tool))
    read = bool(words & _VISITS)
    return Told(
        id=action.id,
        tool=action.tool,
        begun=at,
        places=tuple(names.places),
        mentioned=tuple(names.mentioned),
        paths=tuple(names.paths),
        opaque=names.opaque,
        commands=frozenset(names.commands),
        direct=bool(names.direct) and all(names.direct),
        reads=bool(names.reads) and all(names.reads),
        visits=read and names.linked,
        size=max(names.size, names.amount),
    )


def amount(content: Json) -> int:
    """The largest amount of bytes that a result or a sentence states, 0 when none."""
    names = _Names()
    names.walk(content)
    return names.amount


def places_of(text: str) -> Iterator[str]:
    """Hosts that a text of the agent names."""
    for value, kind in places_in(fold(text[:MAX_CHARACTERS])):
        if kind in (Kind.HOST, Kind.URL):
            place = place_of("//" + value if kind is Kind.URL else value)
            if place is not None:
                yield place.host


def program(path: str) -> str:
    """A program's name without folder and version: ``python`` of ``/usr/bin/python3.11``."""
    name = path.rpartition("/")[2]
    return name.rstrip("0123456789.") or name


class _Names:
    """Collects what arguments name; bounded."""

    def __init__(self) -> None:
        self.places: dict[Place, None] = {}
        self.mentioned: dict[Place, None] = {}
        self.paths: dict[str, None] = {}
        self.opaque = False
        self.commands: set[str] = set()
        self.direct: list[bool] = []
        self.reads: list[bool] = []
        self.linked = False
        self.size = 0
        self.amount = 0
        self._left = MAX_VALUES

    def walk(self, value: Json, key: str = "", depth: int = 0) -> None:
        """Take in a document."""
        self._left -= 1
        if self._left < 0 or depth > 16:
            self.opaque = True
            return
        if isinstance(value, dict):
            for name, below in value.items():
                self.size += len(name)
                self.walk(below, name, depth + 1)
        elif isinstance(value, list):
            if value and set(words_of_name(key)) & _COMMANDS and all(isinstance(below, str) for below in value):
                # A program and its words one by one.
                self.whole(key, " ".join(map(str, value)))
                return
            for below in value:
                self.walk(below, key, depth + 1)
        elif isinstance(value, str):
            self.whole(key, value)
        else:
            self.size += 8

    def whole(self, key: str, text: str) -> None:
        """One text."""
        self.size += len(text)
        words = set(words_of_name(key))
        if words & _COMMANDS:
            self._command(text[:MAX_CHARACTERS])
        else:
            self.opaque |= bool(words & _OPAQUE)
        for number, unit in _AMOUNT.findall(text[:MAX_CHARACTERS]):
            self.amount = max(self.amount, int(float(number) * _UNITS[unit[0].lower()]))
        if len(text) <= 2048 and not any(char.isspace() for char in text):
            if words & _FILES and "://" not in text:
                self.paths[canonical_path(text)] = None
                return
            place = place_of(text, "tool_call")
            if place is not None:
                _keep(self.places, place)
                self.linked |= bool(words & _LINKS)
                return
        self._search(text[:MAX_CHARACTERS])

    def _command(self, text: str) -> None:
        if len(self.commands) < MAX_WORDS:
            self.commands.update(map(program, _WORD.findall(text)[:MAX_WORDS]))
        self.direct.append(direct(text))
        self.reads.append(reads(text))
        self.opaque |= not self.reads[-1]

    def _search(self, text: str) -> None:
        for value, kind in places_in(fold(text)):
            if kind in (Kind.HOST, Kind.URL):
                place = place_of("//" + value if kind is Kind.URL else value)
                if place is not None:
                    _keep(self.mentioned, Place(place.host, 0))
        for found in _PATH.findall(text):
            if len(self.paths) < MAX_NAMED:
                self.paths[canonical_path(found.rstrip(".,:)]}"))] = None
                self.opaque = True


def _keep(kept: dict[Place, None], place: Place) -> None:
    if len(kept) < MAX_NAMED:
        kept[place] = None


def allowance(call: Told, stated: int, *, first: bool) -> int | None:
    """Bytes that a call may send; ``stated`` of its tool, 0 when nothing is. None: nobody can say.

    ``first``: of those in its run of which nothing is stated.
    """
    if stated:
        return stated
    if call.opaque:
        return None
    if call.reads:
        return READING + FACTOR * call.size
    return (BASE if first else FURTHER) + FACTOR * call.size
