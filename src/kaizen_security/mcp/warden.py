"""Warden: the ward of one server. Holds back tools that are not what they were, and looks at every text before the model reads it.

Tools are held in both modes: a definition that changed under its name is not what anybody allowed. Text in results, prompts and
questions of the server is held back in enforce, and flagged in observe: what a page says is not yet what an agent does.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import replace
from shlex import quote

from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.canonical_values import builder
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.contract.finding import Finding
from kaizen_security.mcp import answers
from kaizen_security.mcp.asking import claims, secrets_asked
from kaizen_security.mcp.definitions import MAX_NAME, Asked, arguments, digest, name_of, texts
from kaizen_security.mcp.frames import Message
from kaizen_security.mcp.hidden import hidden, visible
from kaizen_security.mcp.inbound import Arrival, Nothing, Report, as_one, brought
from kaizen_security.mcp.named import named_by
from kaizen_security.mcp.orders import DEFINITION, orders_in_result, signs, weight
from kaizen_security.mcp.pins import (
    INSTRUCTIONS,
    SERVER,
    Held,
    Pins,
    Ruling,
    Why,
    accept,
    arguments_of,
    introduced,
    judged,
    settle,
)
from kaizen_security.mcp.shelf import Shelf
from kaizen_security.mcp.whose import KEEP_APART, client_of

LISTS = {"prompts/list": "prompts", "resources/list": "resources", "resources/templates/list": "resourceTemplates"}
"""Lists whose entries are looked at one by one, and the key that holds them."""
BRINGS = frozenset("tools/call resources/read prompts/get completion/complete tasks/result".split())
"""Requests whose reply is content."""
SERVER_KEY = "io.modelcontextprotocol/serverInfo"
"""Where a server says its name from 2026-07-28 on."""
ASKS_PEOPLE = frozenset({"sampling/createMessage", "elicitation/create"})
MAX_TOLD = 10_000
"""Definitions that are known to be reported; a server with more of them is reported again."""

_arrival = builder(Arrival)
"""In the order of its fields: one is made for each reply."""


class Warden(Nothing):
    """One server's. ``enforcing`` and ``now`` are asked each time; ``locked``: nothing is trusted on first use.

    ``apart``   the clients that keep the tools of several servers apart, by the name that they give themselves
    ``accepts`` whether a person accepted, elsewhere, the definition whose load is given
    ``server``  what its owner calls it: its pins stand under this name
    """

    def __init__(
        self,
        shelf: Shelf,
        server: str,
        *,
        enforcing: Callable[[], bool],
        now: Callable[[], float],
        locked: bool = False,
        accepts: Callable[[Action], bool] = lambda load: False,
        apart: Container[str] = KEEP_APART,
    ) -> None:
        self._shelf = shelf
        self._server = server
        self._enforcing = enforcing
        self._now = now
        self._locked = locked
        self._accepts = accepts
        self._held: Mapping[str, Held] = {}
        self._accepted: frozenset[str] = frozenset()
        self._told: set[tuple[str, str]] = set()
        self._pinned: dict[str, str] = {}
        self._mark: object = None
        self._keep_apart = apart
        self._apart: bool | None = None
        self._first = False
        self._refresh()

    # --- calls --------------------------------------------------------------------------------------------------------

    def held(self, action: Action) -> Finding | None:
        """The tool is held back, or the whole server is."""
        if action.metadata.get("method") != "tools/call":
            return None
        try:
            if self._shelf.mark(self._server) != self._mark:
                self._refresh()
        except Misconfigured as err:
            return self._finding(Why.DAMAGED, action.tool, (str(err),))
        self._let_in()
        held = self._held.get(SERVER) or self._held.get(action.tool)
        if held is not None:
            return self._finding(held.why, action.tool, held.said)
        if self._locked and action.tool not in self._pinned:
            return self._finding(Why.UNDECLARED, action.tool, ("only pinned tools are let through (locked)",))
        return None

    def takes(self, call: Message, arguments: frozenset[str]) -> bool:
        """Whether the pinned definition has all of these arguments: then its server tells them apart."""
        name = call.params.get("name") if call.method == "tools/call" and isinstance(call.params, dict) else None
        try:
            pinned = self._shelf.pins(self._server).tools.get(name) if isinstance(name, str) else None
        except Misconfigured:
            return False
        return pinned is not None and arguments <= arguments_of(pinned.definition)

    def _refresh(self) -> None:
        mark = self._shelf.mark(self._server)
        self._take(self._shelf.pins(self._server), mark)

    def _let_in(self) -> None:
        """What is held and a person accepted in the console is accepted here."""
        if not self._held:
            return
        wanted = {name: one.digest for name, one in self._held.items() if self._accepts(self._about(one.digest, name))}
        if not wanted:
            return

        def change(pins: Pins) -> Pins:
            same = [name for name, mark in wanted.items() if name in pins.held and pins.held[name].digest == mark]
            return accept(pins, same, self._now())

        self._take(self._shelf.change(self._server, change), self._shelf.mark(self._server))

    def _take(self, pins: Pins, mark: object) -> None:
        self._held, self._accepted, self._mark = pins.held, pins.accepted, mark
        self._pinned = {name: one.digest for name, one in pins.tools.items()}

    def _finding(self, why: Why, name: str, said: Iterable[str]) -> Finding:
        observed = "; ".join(said) or why.value
        return Finding(
            kind=why.value,
            value=visible(name),
            source="pins",
            detection="tool_pins",
            field="tool",
            expected=f"a tool of {self._server} as it was pinned, or one that was accepted",
            observed=observed[:512],
            advice=f"Look with `kaizen mcp pins diff {quote(self._server)}`; if it is right, "
            f"`kaizen mcp pins accept {quote(self._server)} {quote(visible(name))}`.",
            attack="mcp-poison",
        )

    # --- replies ------------------------------------------------------------------------------------------------------

    def replied(self, call: Message, reply: Message, server: str) -> Arrival:
        """A reply of the server, by what it answers."""
        result = reply.body.get("result")
        if not isinstance(result, dict) and not reply.cut:
            # An error's words reach the model as well.
            return self._content(call, reply, server)
        if call.method == "tools/list":
            return self._tools(call, reply, result)
        if reply.cut:
            return self._cut(call, reply)
        if call.method in ("initialize", "server/discover"):
            self._speaks_for(call)
            return self._introduced(reply, result)
        if call.method in LISTS:
            return self._entries(reply, result, LISTS[call.method])
        return self._content(call, reply, server)

    def _cut(self, call: Message, reply: Message) -> Arrival:
        if call.method in BRINGS:
            return self._said(Arrival(), call.method, self._wrong((reply.words,), definition=False))
        return Arrival(reason=f"the reply to {call.method} is too large to be looked at")

    def _speaks_for(self, call: Message) -> None:
        """Note which client it is; of several clients before one ward all must keep servers apart."""
        if client := client_of(call):
            self._apart = client in self._keep_apart and self._apart is not False

    def _tools(self, call: Message, reply: Message, result: Json) -> Arrival:
        listed = result.get("tools") if isinstance(result, dict) else None
        if not isinstance(listed, list):
            return Arrival(reason="the reply to tools/list has no list of tools that can be looked at")
        rulings: tuple[Ruling, ...] = ()
        self._speaks_for(call)
        further = isinstance(call.params, dict) and bool(call.params.get("cursor"))
        partial = further or bool(isinstance(result, dict) and result.get("nextCursor"))

        def change(pins: Pins) -> Pins:
            nonlocal rulings
            if not further:
                self._first = not pins.known
            others = [other for other in self._shelf.all() if other.server != self._server]
            apart = self._first and bool(self._apart)
            rulings = judged(pins, listed, others, locked=self._locked, apart=apart, partial=partial)
            return settle(pins, rulings, self._now())

        try:
            pins = self._shelf.change(self._server, change)
        except Misconfigured as err:
            return Arrival(reason=f"tools cannot be compared with their pins: {err}")
        self._take(pins, self._shelf.mark(self._server))
        self._let_in()
        reports = tuple(
            Report(self._loads(one), (self._finding(one.why, one.name, one.said),), blocked=one.why.holds)
            for one in rulings
            if (one.name in self._held or one.why is Why.TWICE or one.why.flags) and self._untold(one)
        )
        if len(self._told) > MAX_TOLD:
            self._told.clear()
        self._told |= {(one.name, one.digest) for one in rulings}
        bad = {one.name for one in rulings if one.why is Why.TWICE} | self._held.keys()
        good = [] if SERVER in self._held else [tool for tool in listed if name_of(tool) and name_of(tool) not in bad]
        arrival = Arrival(reports=reports)
        return arrival if len(good) == len(listed) else _rewritten(arrival, reply, "tools", good)

    def _untold(self, ruling: Ruling) -> bool:
        return (ruling.name, ruling.digest) not in self._told

    def _loads(self, ruling: Ruling) -> Action:
        metadata: dict[str, Json] = {"source": "mcp", "method": "tools/list"}
        return Action(
            kind="skill_load", tool=ruling.name, publisher=self._server, hash=ruling.digest, metadata=metadata
        )

    def marked(self, action: Action) -> Action:
        """As it is pinned, or held back, and whether a person has accepted that."""
        if action.metadata.get("method") != "tools/call":
            return action
        known = action.metadata
        if named := named_by(known.get("arguments"), self._others):
            known = {**known, "named_by": named}
        held = self._held.get(action.tool)
        mark = held.digest if held is not None else self._pinned.get(action.tool, "")
        if mark in self._accepted:
            known = {**known, "accepted": True}
        return action if not mark and not named else replace(action, hash=mark or action.hash, metadata=known)

    def _others(self) -> list[Pins]:
        try:
            return [other for other in self._shelf.all() if other.server != self._server]
        except Misconfigured:
            # That pins are damaged is said, and held, where tools are compared with them.
            return []

    def ruled(self, arrival: Arrival, asks: tuple[Action, ...], blocked: Mapping[str, str]) -> Arrival:
        """What asks for something that is blocked is not passed on."""
        if blocked and not arrival.reason:
            return replace(arrival, reason=next(iter(blocked.values())))
        return arrival

    def _introduced(self, reply: Message, result: Json) -> Arrival:
        """What the server says of itself: its name, which is pinned, and its instructions, which the model reads."""
        assert isinstance(result, dict)
        meta = result.get("_meta")
        info = result.get("serverInfo", meta.get(SERVER_KEY) if isinstance(meta, dict) else None)
        name = info.get("name") if isinstance(info, dict) else None
        itself = name[:MAX_NAME] if isinstance(name, str) else ""
        said = result.get("instructions")
        instructions = said if isinstance(said, str) else ""
        wrong = self._wrong((instructions,), definition=True) if instructions else ()
        try:
            pins = self._shelf.change(
                self._server, lambda pins: introduced(pins, itself, instructions, wrong, self._now())
            )
        except Misconfigured as err:
            return Arrival(reason=f"the server cannot be compared with its pins: {err}")
        self._take(pins, self._shelf.mark(self._server))
        self._let_in()
        reports = tuple(
            Report(self._about(held.digest, name), (self._finding(held.why, name, held.said),), blocked=True)
            for name, held in self._held.items()
            if name in (SERVER, INSTRUCTIONS)
        )
        arrival = Arrival(reports=reports)
        return _rewritten(arrival, reply, "instructions", None) if INSTRUCTIONS in self._held else arrival

    def _about(self, mark: str, name: str) -> Action:
        return Action(kind="skill_load", tool=name, publisher=self._server, hash=mark, metadata={"source": "mcp"})

    def _entries(self, reply: Message, result: Json, key: str) -> Arrival:
        """A list of prompts or resources: entries that give orders or hide text are left out."""
        entries = _entries_of(reply, key)
        good, reports = [], []
        for entry in entries:
            wrong = self._wrong(texts(entry), definition=True, asked=arguments(entry))
            if not wrong:
                good.append(entry)
                continue
            name = name_of(entry) or key
            about = Action(
                kind="skill_load", tool=name, publisher=self._server, hash=digest(entry), metadata={"source": "mcp"}
            )
            reports.append(Report(about, (self._finding(Why.ORDERS, name, wrong),), blocked=True))
        arrival = Arrival(reports=tuple(reports))
        return arrival if len(good) == len(entries) else _rewritten(arrival, reply, key, good)

    def _content(self, call: Message, reply: Message, server: str) -> Arrival:
        """What a call brought back, and what the server asks for before it goes on (2026-07-28)."""
        content, failed = brought(reply)
        body = reply.body.get("result", reply.body.get("error"))
        wrong: tuple[str, ...] = ()
        if call.method in BRINGS or failed:
            said = (*texts(body), *as_one(body))
            wrong = self._wrong(said, definition=False, addressed=failed or call.method == "prompts/get")
        if call.method == "prompts/get":
            wrong += claims(body)
        asks: tuple[Action, ...] = ()
        wanted = body.get("inputRequests") if isinstance(body, dict) else None
        if isinstance(wanted, dict):
            for one in wanted.values():
                found, amiss = self._asked(one, server)
                asks += found
                wrong += amiss
        return self._said(_arrival(asks, (), "", b"", content, failed), call.method, wrong)

    def _said(self, arrival: Arrival, method: str, wrong: tuple[str, ...]) -> Arrival:
        if not wrong:
            return arrival
        finding = replace(
            self._finding(Why.ORDERS, method, wrong),
            detection="mcp_text",
            field="content",
            expected="text for the user's task",
            advice="Look at what the server returned; what the agent does after it is judged by itself.",
        )
        about = Action(
            kind="message", tool=method, publisher=self._server, metadata={"source": "mcp", "direction": "in"}
        )
        blocked = self._enforcing()
        reason = f"mcp_text: {finding.kind} ({method})." if blocked else ""
        return replace(arrival, reason=reason, reports=(Report(about, (finding,), blocked=blocked),))

    # --- requests and notifications of the server ---------------------------------------------------------------------

    def sent(self, message: Message, server: str) -> Arrival:
        """What the server sends by itself."""
        if message.method in ASKS_PEOPLE:
            asks, wrong = self._asked(message.body, server)
            return self._said(Arrival(asks=asks), message.method, wrong)
        wrong = self._wrong(texts(message.params), definition=False)
        return self._said(Arrival(), message.method, wrong)

    def _asked(self, request: Json, server: str) -> tuple[tuple[Action, ...], tuple[str, ...]]:
        """A request of the server to the model or the person: the action that it is, and what is wrong with its words."""
        method = request.get("method") if isinstance(request, dict) else None
        params = request.get("params") if isinstance(request, dict) else None
        if method not in ASKS_PEOPLE:
            return (), ()
        wrong = self._wrong(texts(params), definition=True, asked=arguments(params)) + claims(params)
        if method == "elicitation/create":
            wrong += tuple(f"it asks a person for {visible(said)}" for said in secrets_asked(params))
        metadata: dict[str, Json] = {"source": "mcp", "method": method, "arguments": params}
        return (Action(kind="message", tool=str(method), publisher=server, metadata=metadata),), wrong

    def _wrong(
        self, said: Iterable[str], *, definition: bool, addressed: bool = False, asked: Asked = ()
    ) -> tuple[str, ...]:
        """What is wrong with texts, in one sentence each. ``addressed``: they speak to the model by their nature.
        ``asked``: the arguments that are asked for with them."""
        every = tuple(said)
        found = [f"{one.kind}: {one.shown}" for text in every for one in hidden(text, definition=definition)]
        if definition:
            marks = signs(every, asked=asked, own=frozenset(self._pinned) or None)
            if weight(marks) >= DEFINITION:
                found += [f'{sign.kind}: "{visible(sign.words)}"' for sign in marks]
        else:
            for text in every:
                if len(text) > 30 and (marks := orders_in_result(text, addressed=addressed)):
                    found += [f'{sign.kind}: "{visible(sign.words)}"' for sign in marks]
        return tuple(dict.fromkeys(found))[:8] if found else ()


def _entries_of(reply: Message, key: str) -> list[Json]:
    result = reply.body.get("result")
    found = result.get(key) if isinstance(result, dict) else None
    return found if isinstance(found, list) else []


def _rewritten(arrival: Arrival, reply: Message, key: str, value: Json) -> Arrival:
    """The reply with another value under ``key``; None leaves the key out. What cannot be written again is not passed on."""
    result = reply.body.get("result")
    assert isinstance(result, dict)
    changed = {name: one for name, one in result.items() if name != key}
    if value is not None:
        changed[key] = value
    try:
        return replace(arrival, instead=answers.encoded({**reply.body, "result": changed}))
    except ValueError:
        return replace(arrival, reason="the reply holds a number that JSON cannot say")
