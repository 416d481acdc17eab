"""Acts: which call is being carried out just now, so that two attachments never report one act twice.

Whoever has had a call judged and now runs it says so by ``ACT``. An attachment further in (a guard on the function, a second
adapter) that meets the same call is silent, if the table says that the outer one speaks for it. It is the same call when tool and
arguments are the same; anything else is another act, and is judged: silence must never let something run that nobody judged.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass

from kaizen_security.client.arguments import plain
from kaizen_security.contract.action import Action

FRAMEWORKS = frozenset(
    {
        "openai-agents",
        "langchain",
        "crewai",
        "llamaindex",
        "pydantic-ai",
        "semantic-kernel",
        "bedrock-roc",
        "claude-agent",
        "google-adk",
    }
)
"""Sources that stand where a framework calls its tools."""
SILENCES: Mapping[str, frozenset[str]] = {
    **{source: FRAMEWORKS | {"sdk"} for source in FRAMEWORKS},
    "sdk": frozenset({"sdk"}),
}
"""Who silences whom: for a source, the sources further in that say nothing of the act that it has had judged.

A framework's attachment knows the call as the model made it, and so speaks for a guard on the function inside and for a framework
inside a framework. Nobody silences ``mcp``, ``egress`` or ``ebpf``: they are other rungs, and what they saw is compared with this.
``otel`` hears of a call when it is over: ``Reported`` tells it which ones are known, by id, or by tool, arguments and time.
"""
NAMELESS = 256
"""Calls that are remembered by what they are."""
JUST_BEFORE = 0.1
"""Seconds between a verdict and the beginning of the body, where nobody tells when that is done."""
REMEMBERED = 4096
"""Ids of calls that were reported by an attachment of this process."""


ACT: ContextVar[Action | None] = ContextVar("kaizen_act", default=None)
"""The innermost act of the current context: the action that was judged and runs now."""


BARE = "input"
"""What a value is called that a tool is given without a name for it."""


def is_told(action: Action) -> bool:
    """Whether the act that runs now is ``action``, and who had it judged speaks for ``action``'s source.

    False as soon as ``action`` says more (a kind, a target, that it is sensitive) than was judged.
    """
    act = ACT.get()
    if act is None or act.tool != action.tool or action.source not in SILENCES.get(act.source, ()):
        return False
    if action.delegation and (action.agent, action.delegation) != (act.agent, act.delegation):
        return False  # an agent that the act has started asks for something of that name itself
    if (action.kind, action.target) != (act.kind, act.target) or (action.sensitive and not act.sensitive):
        return False
    outer, inner = plain(act.metadata.get("arguments")), plain(action.metadata.get("arguments"))
    if isinstance(outer, dict) and isinstance(inner, dict):
        # Further in there may be more: defaults, and what the framework itself hands the function.
        same = all(name in inner and inner[name] == value for name, value in outer.items())
        # A tool of one argument may hand itself the bare value, which then has no name but the one that we give it.
        bare = inner.keys() == {BARE} and list(outer.values()) == [inner[BARE]]
        return bare or (same and bool(outer or not inner))
    return outer == inner


class _Told:
    """A call that was reported. ``over`` is when its body was done, or, as long as nobody said so, when it must have begun.

    ``trace``  the trace that it was asked about in, 0 where that is not known
    """

    __slots__ = ("action", "over", "trace")

    def __init__(self, action: Action, over: float, trace: int) -> None:
        self.action = action
        self.over = over
        self.trace = trace

    def may_be(self, asked: str, trace: int) -> bool:
        """Whether it may be a call of the trace ``trace`` which is told for the agent ``asked``.

        One of another trace is another call. Where a trace is not known, one of another agent is.
        """
        if self.trace and trace:
            return self.trace == trace
        return (self.action.delegation or (self.action.agent,))[0] == asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Spanned:
    """A call as a span tells of it.

    ``begun``, ``ended``  seconds since 1970
    ``arguments``         None where the span does not say
    ``around``            id of the act that ran where it began, empty where none is known; its body may begin as late as it likes
    ``agent``, ``asked``  who calls, and the agent that the user asked
    """

    tool: str
    arguments: object
    begun: float
    ended: float
    id: str
    around: str
    agent: str
    asked: str
    trace: int


def _no_trace() -> int:
    return 0


class Reported:
    """Calls which an attachment of this process has reported: by the ids that frameworks gave them, and by what they are where one
    of the two that tell has no id. Bounded, for several threads.

    ``wanted``  whether anybody of this process asks for it: nothing is kept for nobody
    ``trace``   gives the trace that the current context is in, 0 for none
    """

    wanted = False

    def __init__(self) -> None:
        self.trace: Callable[[], int] = _no_trace
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._acts: OrderedDict[str, _Told] = OrderedDict()

    def add_act(self, action: Action, settled: float, *, runs: bool) -> None:
        """Remember what it is, and when its verdict was there: a person may have thought about it for minutes. One that does not
        run is over then.
        """
        self._acts[action.id] = _Told(action, settled + JUST_BEFORE if runs else settled, self.trace())
        if len(self._acts) > NAMELESS:
            self._acts.popitem(last=False)

    def over(self, action: Action, at: float) -> None:
        """Its body is done: what begins later is another call."""
        told = self._acts.get(action.id)
        if told is not None:
            told.over = at

    def take_act(self, span: Spanned) -> bool:
        """Whether the call that ``span`` is of was reported. It answers for one call: the next time it is not there."""
        kept = list(self._acts.values())
        # First the one that runs around it, then those of the very agent: several of one run may call the same.
        kept.sort(key=lambda told: (told.action.id != span.around, told.action.agent != span.agent))
        for told in kept:
            act = told.action
            # None that has an id answers for another one.
            if act.tool != span.tool or (span.id and act.act_id):
                continue
            at_that_time = act.at <= span.ended and span.begun < told.over and told.may_be(span.asked, span.trace)
            same = span.arguments is None or act.metadata.get("arguments") == span.arguments
            if (act.id == span.around or at_that_time) and same and self._acts.pop(act.id, None) is not None:
                return True  # else another thread took it
        return False

    def add(self, call_id: str) -> None:
        """Remember it; the oldest is forgotten beyond ``REMEMBERED``."""
        # Each is one step to the interpreter: threads need no lock, and it would be a third of the time.
        self._ids[call_id] = None
        if len(self._ids) > REMEMBERED:
            self._ids.popitem(last=False)

    def __contains__(self, call_id: str) -> bool:
        return call_id in self._ids
