"""A declaration compiled once: what an agent said that it is for, and what of an action goes beyond that."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from kaizen_security.contract import canonical
from kaizen_security.contract.action import Action
from kaizen_security.contract.canonical_address import canonical_number, number
from kaizen_security.contract.canonical_target import EDGES, Target
from kaizen_security.contract.canonical_values import builder
from kaizen_security.contract.compiled_ranges import Ranges
from kaizen_security.contract.compiled_rules import Range, parse_range
from kaizen_security.contract.declaration import DataClass, Declaration
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.contract.fields import MAX_LIST
from kaizen_security.contract.finding import Finding

_REMEMBERED = 4096
_SHORT = 512
_NOT_STATED = 0


class CompiledDeclaration:
    """Made by ``compile_declaration``; safe to share between threads.

    An empty dimension declares nothing, so nothing is undeclared in it.
    """

    def __init__(self, declaration: Declaration) -> None:
        self._tools = frozenset(_tool(text, i) for i, text in enumerate(declaration.tools))
        self._hosts: dict[str, set[int]] = {}
        self._below: dict[str, set[int]] = {}
        self._texts: set[str] = set()
        spans: list[tuple[Range, int]] = []
        for i, text in enumerate(declaration.destinations):
            self._declare(i, text, spans)
        self._ranges = {family: Ranges(family, spans) for family in (4, 6)}
        self._any_range = bool(spans)
        self._limited = bool(declaration.destinations)
        self.data = frozenset(_class(text, i) for i, text in enumerate(declaration.data))
        """The classes of data that are declared; empty when none are, and then none is undeclared."""
        self._said = (len(declaration.tools), len(declaration.destinations))
        self._known: dict[tuple[str, str, str], tuple[Finding, ...]] = {}
        self.forgotten = 0
        """Remembered answers dropped because there were too many."""

    def tool(self, name: str) -> bool:
        """Whether the tool is declared (or no tools are). Case and surrounding white space aside, spelled as declared."""
        return not self._tools or name in self._tools or canonical.permitted(name) in self._tools

    def destination(self, target: str) -> bool:
        """Whether a target that IS a destination is declared (or no destinations are): its host, with the port where one was
        declared.
        """
        return not self._limited or self._permits(canonical.target(target), target)

    def undeclared(self, action: Action) -> tuple[Finding, ...]:
        """Findings ``undeclared tool`` and ``undeclared destination``, tool first. ``canonical.destination`` says what is a
        destination.
        """
        key = (action.kind, action.tool, action.target)
        known = self._known.get(key)
        if known is None:
            known = self.look(action.kind, action.tool, action.target, canonical.target(action.target))
            if len(action.tool) <= _SHORT and len(action.target) <= _SHORT:
                if len(self._known) >= _REMEMBERED:
                    self.forgotten += len(self._known)
                    self._known = {}
                self._known[key] = known
        return known

    def look(self, kind: str, tool: str, target: str, found: Target) -> tuple[Finding, ...]:
        """``undeclared`` for a caller that remembers itself, and that has read ``target`` as ``found``: nothing is kept here."""
        return self.judge(tool, target, canonical.reached(kind, target, found) if self._limited and target else None)

    def judge(self, tool: str, target: str, place: Target | None) -> tuple[Finding, ...]:
        """The same for a caller that knows the place that is ``reached``: None when the action reaches none."""
        beyond = bool(tool) and bool(self._tools) and tool not in self._tools and not self.tool(tool)
        if place is None or not self._limited or self._permits(place, target):
            return (self._tool_finding(tool),) if beyond else ()
        reached = self._destination_finding(place, target)
        return (self._tool_finding(tool), reached) if beyond else (reached,)

    # --- compiling -----------------------------------------------------------------------------------------------------------

    def _declare(self, index: int, text: str, spans: list[tuple[Range, int]]) -> None:
        stated = text.strip()
        where = f"declaration: destinations[{index}]"
        if not stated:
            raise Misconfigured(f"{where} is empty, so it would declare nothing")
        if stated == "*":
            raise Misconfigured(f"{where} is *; to declare no destinations, leave the list empty")
        if stated.startswith("*."):
            found = canonical.target(stated[2:])
            if not found.host or not found.readable or found.is_address or "*" in found.host:
                raise Misconfigured(f"{where} must be a host name behind *.")
            self._below.setdefault(found.host, set()).add(found.port)
            return
        if "*" in stated:
            raise Misconfigured(f"{where} may hold a * only in front, as in *.example.com")
        span = _span(stated, where)
        if span is not None:
            spans.append((span, 0))
            return
        found = canonical.target(stated)
        if found.host and found.readable:
            for name in (found.host, *found.also):  # whatever a client dials for the very text that was declared
                self._hosts.setdefault(name, set()).add(found.port)
        else:
            self._texts.add(canonical.permitted(stated))

    def _permits(self, place: Target, text: str) -> bool:
        if self._texts and canonical.permitted(text) in self._texts:
            return True
        if not place.host or not place.readable:
            return False
        # Where clients disagree about the host, each reading has to be declared. A folded spelling of the same address is no
        # other reading.
        if not self._host(place.host, place.port):
            return False
        return not place.also or all(
            self._host(other, place.port) for other in place.also if not _same(other, place.host)
        )

    def _host(self, host: str, port: int) -> bool:
        ports = self._hosts.get(host)
        if ports is not None and _covers(ports, port):
            return True
        if host[-1] in _DIGITS or ":" in host:
            address = canonical_number(host) if self._any_range else None
            return address is not None and self._ranges[address[0]].holds(address[1])
        below = self._below
        suffix = host.partition(".")[2] if below else ""
        while suffix:
            if suffix in below and _covers(below[suffix], port):
                return True
            suffix = suffix.partition(".")[2]
        return False

    # --- findings ------------------------------------------------------------------------------------------------------------

    def _tool_finding(self, name: str) -> Finding:
        name = name[:_SHORT]
        advice = "If the agent needs this tool, declare it."
        expected = f"one of the {self._said[0]} declared tools"
        return _finding("undeclared tool", name, _WHO, _WHO, "tool", expected, name, advice, "undeclared")

    def _destination_finding(self, place: Target, text: str) -> Finding:
        host = (place.host or text.strip(EDGES))[:_SHORT]
        if place.readable and place.host in self._hosts:
            expected = f"a declared port of {host}"
        else:
            expected = f"one of the {self._said[1]} declared destinations"
        observed = f"{host}:{place.port}" if place.port else host
        if not place.readable or not place.host:
            observed = f"{host}, which is not a well-formed host"
        advice = "If the agent needs this destination, declare it."
        return _finding("undeclared destination", host, _WHO, _WHO, "target", expected, observed, advice, "undeclared")


_finding = builder(Finding)
_WHO = "declaration"
_DIGITS = frozenset("0123456789")


def _tool(text: str, index: int) -> str:
    name = canonical.permitted(text)
    if not name:
        raise Misconfigured(f"declaration: tools[{index}] is empty, so it would declare nothing")
    return name


def _class(text: str, index: int) -> DataClass:
    try:
        return DataClass(canonical.permitted(text))
    except ValueError as err:
        known = ", ".join(DataClass)
        raise Misconfigured(f"declaration: data[{index}] is no class of data that is known: {known}") from err


def _span(stated: str, where: str) -> Range | None:
    """The range when ``stated`` is one: an address, a slash and a number."""
    head, slash, bits = stated.partition("/")
    if not slash or not bits.isdecimal() or number(head.strip("[]")) is None:
        return None
    try:
        return parse_range(stated)
    except ValueError as err:
        raise Misconfigured(f"{where} {err}") from err


def _covers(ports: set[int], port: int) -> bool:
    """An action that states no port does not go beyond a declared one."""
    return port == _NOT_STATED or port in ports or _NOT_STATED in ports


def _same(other: str, host: str) -> bool:
    try:
        return canonical.host(other) == host
    except ValueError:
        return False


UNDECLARED_DATA = "undeclared data"
"""The kind of a finding whose value is a class of data that was not declared."""


def extended(declaration: Declaration, action: Action, found: Iterable[Finding] = ()) -> Declaration:
    """A declaration that covers one more action, and the classes of data that were ``found`` to be undeclared in it.

    An empty list means "not declared", and stays so: learning one entry must not make all others undeclared. What cannot be
    declared by itself is left out: a "host" ``*.com`` that an agent called would declare all of them, and one of ``*`` is no entry,
    so no bundle that holds it could be used. Nor is anything added to a list that is full.
    """
    tools, destinations = declaration.tools, declaration.destinations
    if tools and action.tool and action.tool not in tools:
        tools = _with(tools, action.tool, Declaration(tools=(action.tool,)))
    place = canonical.destination(action.kind, action.target) if action.target else None
    host = place.host if place is not None and place.readable else ""
    if destinations and host and host not in destinations and "*" not in host:
        destinations = _with(destinations, host, Declaration(destinations=(host,)))
    data = declaration.data
    if data:
        classes = (one.value for one in found if one.kind == UNDECLARED_DATA and one.value in set(DataClass))
        data = tuple(dict.fromkeys((*data, *classes)))
    return replace(declaration, tools=tools, destinations=destinations, data=data)


def _with(entries: tuple[str, ...], one: str, alone: Declaration) -> tuple[str, ...]:
    try:
        CompiledDeclaration(alone)
    except Misconfigured:
        return entries
    return (*entries, one) if len(entries) < MAX_LIST else entries


def compile_declaration(declaration: Declaration) -> CompiledDeclaration:
    """Make a declaration fast. Raises Misconfigured naming the entry that would mean nothing or everything.

    A destination is ``host`` (any port), ``host:port``, an address, a CIDR range, ``*.suffix`` (names below it, not itself) or
    a URL (its host and port). An entry that names no host (``Customer database``) is compared with the whole target.
    """
    return CompiledDeclaration(declaration)
