"""What every adapter is made of: a ``Call`` goes to ``AttachPoint.before``, runs or is refused, and comes back by ``after``.

``docs/how-to/write-an-integration.md`` shows an adapter from its first line to its tests.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextvars import Token
from dataclasses import dataclass, field
from typing import Final, Self, TypeVar

from kaizen_security.client.acts import ACT, BARE, Reported, is_told
from kaizen_security.client.aio import AsyncKaizen
from kaizen_security.client.arguments import Plain, plain
from kaizen_security.client.client import Kaizen
from kaizen_security.client.clock import now
from kaizen_security.client.guard import STATED, stated_of
from kaizen_security.client.noting import RUN
from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.canonical_values import builder
from kaizen_security.contract.errors import KaizenBlocked
from kaizen_security.contract.verdict import Decision, Verdict
from kaizen_security.integrations.refusals import refusal
from kaizen_security.integrations.runs import RUNNING, Running

T = TypeVar("T")

REPORTED: Final = Reported()
"""Ids of the calls that an attach point of this process has reported, as their frameworks gave them."""
_action = builder(Action)  # in the order of its fields; each call makes one
MOST_TOOLS = 1000
"""Tools outside of any run whose refusals are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a tool that a framework is about to make, in our words.

    ``arguments``  what the tool is called with: a mapping, JSON text, or any value; it is copied before ``before`` returns
    ``id``         the framework's own id of the call, empty when it has none
    ``agents``     the sub-agents down to the one that calls, without the one whom the user asked (empty: that one itself)
    ``run``        the run that it belongs to; None: that of the current context
    ``fn``         the function that will run, if it is known: what ``guard`` was told of it holds here too
    ``publisher``  who published the tool (an MCP server's name), if that is known
    """

    tool: str
    arguments: object = None
    id: str = ""
    agents: tuple[str, ...] = ()
    run: Running | None = None
    kind: str = "tool_call"
    target: str = ""
    publisher: str = ""
    sensitive: bool = False
    fn: object = None


_call = builder(Call)


def call_of(
    tool: str,
    arguments: object,
    id: str,  # noqa: A002  # the field's name
    agents: tuple[str, ...],
    run: Running | None,
    *,
    publisher: str = "",
    fn: object = None,
) -> Call:
    """The same as ``Call(…)``, for a third of the time; for tools of an agent (kind ``tool_call``)."""
    return _call(tool, arguments, id, agents, run, "tool_call", "", publisher, False, fn)


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """The call may run. ``told``: an attach point further out speaks for it, so nothing is reported here."""

    action: Action
    kaizen: Kaizen
    run: Running | None
    told: bool = False

    def running(self) -> _Body:
        """Around the tool's body: attachments further in know by it that this very call was judged, and in which run."""
        return _Body(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The call must not run. ``text`` is for the model, in the framework's own way of answering a call.

    ``ends``  the model goes on asking for it: where the framework has a way to end a run without an error, it ends here
    """

    action: Action
    verdict: Verdict
    text: str
    times: int
    ends: bool = False

    def error(self) -> KaizenBlocked:
        """The same as an exception, for a caller that is no model."""
        return KaizenBlocked(self.verdict)


@dataclass(slots=True)
class AttachPoint:
    """Where one framework calls its tools, for one agent.

    ``source``    names the feed (``langchain``, ``openai-agents`` …), and so the row of ``client.acts.SILENCES``
    ``identity``  whether a sub-agent is an agent of its own (``AGENT/name``); False: it acts as the one that was asked, which is
                  what a key that is bound to one agent allows. Its delegation chain is told either way
    ``always_ask`` ask before every call in observe mode too, so that what blocks in every mode (a canary, a secret) is prevented
                  and not only reported

    In observe mode a call is judged by policy here and reported; in enforce mode the sidecar is asked and a held call waits, on an
    event loop without holding it up (``abefore``). Nothing is raised but what ``Kaizen`` itself raises at construction.
    """

    kaizen: Kaizen
    source: str
    identity: bool = True
    always_ask: bool = False
    refused: Counter[str] = field(default_factory=Counter)

    def __copy__(self) -> AttachPoint:
        return self  # hosts copy their agents: the copy is attached to the same client

    def __deepcopy__(self, memo: object) -> AttachPoint:
        return self

    # --- one call

    def before(self, call: Call) -> Allowed | Refused:
        """Whether the call may run. Blocks the thread for as long as the verdict takes; on an event loop use ``abefore``."""
        kaizen, action, said = self._at_once(call)
        return said if said is not None else self._settled(call, kaizen, action, kaizen.inspect(action))

    async def abefore(self, call: Call) -> Allowed | Refused:
        """The same, while the event loop goes on."""
        kaizen, action, said = self._at_once(call)
        return said if said is not None else self._settled(call, kaizen, action, await kaizen.ainspect(action))

    def told(self, call: Call) -> Allowed | Refused:
        """The same for a call that has been made already, of which a framework tells afterwards: reported, and nothing waits."""
        kaizen, action = self._begun(call)
        return self._settled(call, kaizen, action, kaizen.report(action))

    def after(self, allowed: Allowed, content: object = None, *, failed: bool = False) -> None:
        """What the call brought back; ``failed`` when it raised or was cancelled (then ``content`` is the error or nothing)."""
        if allowed.told:
            return
        if REPORTED.wanted:
            REPORTED.over(allowed.action, now())
        if not allowed.kaizen.settings.sidecar:
            return  # nobody else knows what to do with a result
        document = plain(content)
        if type(document) is dict:
            document = Plain(document)  # which is not copied again for agents that join later
        allowed.kaizen.note_brought(allowed.action, document, failed=failed)
        if allowed.run is not None:
            allowed.run.brought(allowed.kaizen, allowed.action, document, failed=failed)

    def through(
        self,
        call: Call,
        body: Callable[[], T],
        refuse: Callable[[Refused], T],
        shown: Callable[[T], object] = lambda found: found,
    ) -> T:
        """``body()``, the tool itself, if the call may run, else ``refuse(refused)``. Results and exceptions are the body's own.

        ``shown`` gives of a result what is told: for frameworks that wrap it into an object of theirs.
        """
        said = self.before(call)
        if isinstance(said, Refused):
            return refuse(said)
        with Noted(self, said) as kept:
            found = body()
            kept.content = shown(found)
        return found

    async def athrough(
        self,
        call: Call,
        body: Callable[[], Awaitable[T]],
        refuse: Callable[[Refused], T],
        shown: Callable[[T], object] = lambda found: found,
    ) -> T:
        """The same for a coroutine; one that is cancelled has failed."""
        kaizen, action, said = self._at_once(call)
        if said is None:
            said = self._settled(call, kaizen, action, await kaizen.ainspect(action))
        if isinstance(said, Refused):
            return refuse(said)
        with Noted(self, said) as kept:
            found = await body()
            kept.content = shown(found)
        return found

    def noted(self, allowed: Allowed) -> Noted:
        """``allowed.running()``, for one who fills in ``content``, which is noted; what leaves it by an exception has failed."""
        return Noted(self, allowed)

    # --- runs

    def run(self, request: str = "", *, run_id: str = "") -> Running:
        """One execution of the agent: ``with point.run("what the user asked"):``. Inside of a run it is that run."""
        return Running(self.kaizen, request, run_id)

    def agent(self, agents: tuple[str, ...]) -> Kaizen:
        """The client of the agent at the end of the chain."""
        if not agents or not self.identity:
            return self.kaizen
        return self.kaizen.named(agents[-1])

    # --- the parts of before

    def _at_once(self, call: Call) -> tuple[Kaizen, Action, Allowed | Refused | None]:
        """What is known without waiting for anybody: nothing, as long as the sidecar has to be asked."""
        kaizen, action = self._begun(call)
        if ACT.get() is not None and is_told(action):
            return kaizen, action, Allowed(action=action, kaizen=kaizen, run=call.run, told=True)
        if self.always_ask or not kaizen.observes:
            return kaizen, action, None
        verdict = kaizen._passed(action)
        if verdict.decision is Decision.ALLOW and not REPORTED.wanted:
            return kaizen, action, _allowed(action, kaizen, call.run or RUNNING.get(), False)
        return kaizen, action, self._settled(call, kaizen, action, verdict)

    def _begun(self, call: Call) -> tuple[Kaizen, Action]:
        run, agents = call.run or RUNNING.get(), call.agents
        kaizen = self.agent(agents) if agents else self.kaizen
        stated = stated_of(call.fn) if call.fn is not None and hasattr(call.fn, STATED) else None
        arguments = plain(call.arguments) if type(call.arguments) is dict else _arguments(call.arguments)
        metadata = Plain(source=self.source, arguments=arguments)
        if call.sensitive or (stated is not None and stated.sensitive):
            metadata["sensitive"] = True
        action = _action(
            stated.kind if stated is not None else call.kind,
            call.tool,
            call.publisher,
            call.target if call.target or stated is None else stated.target_in(arguments),
            "",
            metadata,
            kaizen.ids.new(),
            run.id if run is not None else RUN.get(),
            call.id,
            now(),
            kaizen.settings.agent,
            "",
            (self.kaizen.settings.agent, *agents[:-1]) if agents else (),
            (),
        )
        if run is not None and run.alone is not kaizen:
            run.hear(kaizen)
        return kaizen, action

    def _remember(self, call: Call, action: Action, verdict: Verdict) -> None:
        if call.id:
            REPORTED.add(call.id)
        if self.source != "otel":
            REPORTED.add_act(action, now(), runs=verdict.allowed)

    def _settled(self, call: Call, kaizen: Kaizen, action: Action, verdict: Verdict) -> Allowed | Refused:
        run = call.run or RUNNING.get()
        if REPORTED.wanted:
            self._remember(call, action, verdict)
        if verdict.decision is Decision.ALLOW:
            return _allowed(action, kaizen, run, False)
        refused = self.refused if run is None else run.refused
        if len(refused) > MOST_TOOLS:
            refused.clear()
        signature = f"{call.tool}\0{hash(str(action.metadata.get('arguments')))}"
        refused[call.tool] += 1
        times = refused[call.tool]
        # What a person has been asked about may be asked for again.
        ends = verdict.pending is None and run is not None and run.insists(call.tool, signature)
        text = refusal(verdict, call.tool, times)
        if ends and run is not None:
            run.ended[call.agents] = text
        return Refused(action=action, verdict=verdict, text=text, times=times, ends=ends)


class _Body:
    """See ``Allowed.running``."""

    __slots__ = ("_act", "_allowed", "_run")

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed
        self._act: Token[Action | None] | None = None
        self._run: tuple[Token[str], Token[Running | None]] | None = None

    def __enter__(self) -> Self:
        allowed = self._allowed
        if allowed.told:
            return self
        self._act = ACT.set(allowed.action)
        # An adapter whose framework carries no context along gives the run by hand: what the tool itself starts belongs to it too.
        run = allowed.run
        if run is not None and run is not RUNNING.get():
            self._run = RUN.set(run.id), RUNNING.set(run)
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, *_: object) -> None:
        if self._act is not None:
            ACT.reset(self._act)
        if self._run is not None:
            RUN.reset(self._run[0])
            RUNNING.reset(self._run[1])


class Noted(_Body):
    """Around a tool's body: what ``Allowed.running`` does, and at its end tells the attach point what came of it.

    ``content`` is what it returned, set by whoever ran it, and ``failed`` that this says by itself that it failed.
    """

    __slots__ = ("_point", "content", "failed")

    def __init__(self, point: AttachPoint, allowed: Allowed) -> None:
        self._allowed = allowed
        self._act = self._run = None
        self.content: object = None
        self.failed = False
        self._point = point

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, *_: object) -> None:
        try:
            content = self.content if err is None else {"error": type(err).__name__, "args": err.args}
            self._point.after(self._allowed, content, failed=self.failed or err is not None)
        finally:
            if self._act is not None:
                ACT.reset(self._act)
            if self._run is not None:
                RUN.reset(self._run[0])
                RUNNING.reset(self._run[1])


_allowed = builder(Allowed)


def attach_point(
    kaizen: Kaizen | AsyncKaizen | None, source: str, *, identity: bool = True, always_ask: bool = False
) -> AttachPoint:
    """An attach point for ``kaizen``, or, when that is None, for the client of this process (``default``)."""
    client = default() if kaizen is None else kaizen.sync if isinstance(kaizen, AsyncKaizen) else kaizen
    client.attached(source)
    return AttachPoint(client, source, identity, always_ask)


def in_order(first: object, second: object) -> tuple[Kaizen | AsyncKaizen | None, object]:
    """A client, if one was given, and a tool, whichever came first."""
    if isinstance(first, Kaizen | AsyncKaizen):
        return first, second
    if isinstance(second, Kaizen | AsyncKaizen):
        return second, first
    return None, second if first is None else first


_DEFAULT: list[Kaizen] = []
_MAKING = threading.Lock()


def default() -> Kaizen:
    """The client that adapters share when none is given: made once, from the environment, the settings file and the defaults.

    Raises Misconfigured for a setting that cannot be used.
    """
    with _MAKING:
        if not _DEFAULT:
            # Made on an event loop as well: the first verdict waits for the organisation's policy, not this.
            _DEFAULT.append(AsyncKaizen().sync)
        return _DEFAULT[0]


def _arguments(given: object) -> Json:
    """A copy that is JSON. Text that is a JSON object is one: several frameworks hand on what the model wrote."""
    if type(given) is dict:
        return plain(given)
    if isinstance(given, str) and given[:1] == "{":
        import json

        try:
            given = json.loads(given)
        except (ValueError, RecursionError):  # as deep as a model likes to write
            return {BARE: plain(given)}
    if given is None:
        return {}
    if isinstance(given, Mapping):
        given = dict(given)
    if not isinstance(given, dict):
        return {BARE: plain(given)}
    return plain(given)
