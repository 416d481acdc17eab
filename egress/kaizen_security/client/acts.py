"""Acts: which call is being carried out just now, so that two attachments never report one act twice.

Whoever has had a call judged and now runs it says so by ``ACT``. An attachment further in (a guard on the function, a second
adapter) that meets the same call is silent, if the table says that the outer one speaks for it. It is the same call when tool and
arguments are the same; anything else is another act, and is judged: silence must never let something run that nobody judged.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from contextlib import suppress
from contextvars import ContextVar

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
REMEMBERED = 4096
"""Ids of calls that were reported by an attachment of this process."""


ACT: ContextVar[Action | None] = ContextVar("kaizen_act", default=None)
"""The innermost act of the current context: the action that was judged and runs now."""


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
        return same and bool(outer or not inner)
    return outer == inner


class Reported:
    """Calls which an attachment of this process has reported: by the ids that frameworks gave them, and by what they are where one
    of the two that tell has no id. Bounded, for several threads.
    """

    def __init__(self) -> None:
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._acts: deque[Action] = deque(maxlen=NAMELESS)

    def add_act(self, action: Action) -> None:
        """Remember what it is."""
        self._acts.append(action)

    def take_act(self, tool: str, arguments: object, since: float, until: float, call_id: str = "") -> bool:
        """Whether one was reported between these times (seconds since 1970): of ``tool``, with ``arguments`` unless they are None.

        It answers for one call: the next time it is not there. None that has an id answers for another ``call_id``.
        """
        for act in list(self._acts):
            if call_id and act.act_id:
                continue
            given = act.metadata.get("arguments")
            if act.tool == tool and since <= act.at <= until and (arguments is None or given == arguments):
                with suppress(ValueError):  # another thread took it
                    self._acts.remove(act)
                    return True
        return False

    def add(self, call_id: str) -> None:
        """Remember it; the oldest is forgotten beyond ``REMEMBERED``."""
        # Each is one step to the interpreter: threads need no lock, and it would be a third of the time.
        self._ids[call_id] = None
        if len(self._ids) > REMEMBERED:
            self._ids.popitem(last=False)

    def __contains__(self, call_id: str) -> bool:
        return call_id in self._ids
