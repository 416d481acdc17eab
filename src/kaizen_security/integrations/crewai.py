"""CrewAI: hooks before and after every call that an agent makes, native or parsed from its text, and a guard for a tool itself.

    attach(kaizen)                     every agent of every crew in this process
    guard_tool(kaizen, tool)           this tool only, by whomever it is run

CrewAI dispatches its hooks on every path by which an agent calls a tool. What a hook refuses is not cached, is no failure of the
tool and never aborts the run. A tool that a flow or the host's own code runs passes no hook: guard that one.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from kaizen_security.client.acts import ACT
from kaizen_security.client.noting import RUN
from kaizen_security.contract.action import Action
from kaizen_security.contract.errors import HookUnavailable
from kaizen_security.integrations import crewai_hosted
from kaizen_security.integrations.base import Allowed, AttachPoint, Call, Refused, attach_point, call_of
from kaizen_security.integrations.elsewhere import tell
from kaizen_security.integrations.elsewhere_openai import ran_at_openai
from kaizen_security.integrations.runs import RUNNING, Running

try:
    from crewai.hooks.dispatch import InterceptionPoint, register, unregister
    from crewai.tools.agent_tools.base_agent_tools import BaseAgentTool
    from crewai.tools.base_tool import Tool
    from crewai.utilities.string_utils import sanitize_tool_name
except ImportError as err:
    raise HookUnavailable("crewai: needs crewai 1.15.21 or newer (pip install crewai)") from err

if TYPE_CHECKING:
    from kaizen_security.client.aio import AsyncKaizen
    from kaizen_security.client.client import Kaizen

    T = TypeVar("T")

SOURCE = "crewai"
_POINT = "_kaizen_point"
"""Where a guarded tool keeps its attach point: an entry of its ``__dict__``, no field of the model."""


@dataclass(frozen=True, slots=True)
class _Open:
    """A call between its two hooks. ``said`` is None for work that is handed to another agent."""

    tool: str
    given: object
    said: Allowed | Refused | None
    point: AttachPoint
    outer: Action | None
    agents: tuple[str, ...]


_OPEN: ContextVar[tuple[_Open, ...]] = ContextVar("kaizen_crewai_open", default=())
_AGENTS: ContextVar[tuple[str, ...]] = ContextVar("kaizen_crewai_agents", default=())
"""The agents down to the one that handed its work on; empty outside of a hand-over."""


class Attached:
    """What ``attach`` put in; ``detach`` takes it out again."""

    def __init__(self, point: AttachPoint) -> None:
        self.point = point
        self._hooks: list[tuple[Any, Callable[[Any], Any]]] = [
            (InterceptionPoint.EXECUTION_START, self._start),
            (InterceptionPoint.EXECUTION_END, self._end),
            (InterceptionPoint.PRE_STEP, self._task),
            (InterceptionPoint.PRE_MODEL_CALL, self._asked),
            (InterceptionPoint.POST_STEP, self._said),
        ]

    def detach(self) -> None:
        """Take the hooks out. Guarded tools stay guarded."""
        for where, hook in self._hooks:
            unregister(where, hook)
        if self in _ATTACHED:
            _ATTACHED.remove(self)

    def _register(self) -> None:
        for where, hook in self._hooks:
            register(where, hook)

    # --- one execution of a crew or a flow

    def _start(self, context: Any) -> None:
        _last()
        outer = RUNNING.get()
        run = self.point.run()
        if run.joined:
            _BEGUN.set((*_BEGUN.get(), None))
            return
        _BEGUN.set((*_BEGUN.get(), (run, RUN.get(), outer)))
        RUN.set(run.id)
        RUNNING.set(run)
        run.begin()

    def _end(self, context: Any) -> None:
        begun = _BEGUN.get()
        if not begun:
            return
        _BEGUN.set(begun[:-1])
        if begun[-1] is not None:
            run, run_id, outer = begun[-1]
            RUN.set(run_id)
            RUNNING.set(outer)
            run.end(completed=getattr(context, "status", "completed") == "completed")

    def _asked(self, context: Any) -> None:
        """A model is asked: it has heard of what it was refused."""
        _ASKING.set(agents_of(context))
        run = RUNNING.get()
        if run is not None:
            run.asked()

    def _task(self, context: Any) -> None:
        """What a task asks is what the user asked: it is written by whoever runs the crew, never by an agent."""
        run, task = RUNNING.get(), getattr(context, "task", None)
        if run is not None and task is not None:
            run.request(str(getattr(task, "description", "")))

    def _said(self, context: Any) -> None:
        run, raw = RUNNING.get(), getattr(getattr(context, "output", None), "raw", None)
        if run is not None and isinstance(raw, str):
            run.message(raw, kaizen=self.point.agent(agents_of(context)))


_BEGUN: ContextVar[tuple[tuple[Running, str, Running | None] | None, ...]] = ContextVar("kaizen_crewai_run", default=())
_ASKING: ContextVar[tuple[str, ...]] = ContextVar("kaizen_crewai_asking", default=())
"""The agents down to the one whose model was asked last."""
_ATTACHED: list[Attached] = []
"""What is attached to this process: nothing, or one."""


def attach(kaizen: Kaizen | AsyncKaizen | None = None, *, identity: bool = True, always_ask: bool = False) -> Attached:
    """Have every call of every agent in this process judged, and its runs told. The second time it takes the place of the first.

    ``kaizen`` is the client of the crew (None: made from the environment). In a crew of several, each agent acts as ``AGENT/role``
    unless ``identity`` is False. Raises Misconfigured for a setting that cannot be used.
    """
    made = Attached(attach_point(kaizen, SOURCE, identity=identity, always_ask=always_ask))
    while _ATTACHED:
        _ATTACHED[0].detach()
    _ATTACHED.append(made)
    made._register()
    _last()
    crewai_hosted.install(_heard)
    return made


def _heard(items: list[Any]) -> None:
    """A model answered: tools that OpenAI ran on the way are told."""
    if _ATTACHED:
        tell(_ATTACHED[0].point, _ASKING.get(), None, ran_at_openai(items))


def guard_tool(kaizen: Kaizen | AsyncKaizen | None, tool: T) -> T:
    """Judge the calls of ``tool``, in place, and return it: in an agent by CrewAI's hooks, elsewhere before its body runs.

    Name, schema, results, exceptions and whether it is async stay as they are. Whoever runs a refused call himself (``tool.run()``)
    gets KaizenBlocked.
    """
    point = attach_point(kaizen, SOURCE)
    fresh = _POINT not in vars(tool)
    vars(tool)[_POINT] = point
    if fresh:
        if isinstance(tool, Tool):
            tool.func = _guarded(tool, tool.func)
        else:
            # Methods of a model: an entry of the instance comes before what its class has.
            for name in ("_run", "_arun"):
                vars(tool)[name] = _guarded(tool, getattr(tool, name))
    _last()
    return tool


def _last() -> None:
    """Put our hooks on tools behind those of the host: they judge the arguments that its own hooks leave behind."""
    for where, hook in ((InterceptionPoint.PRE_TOOL_CALL, _before), (InterceptionPoint.POST_TOOL_CALL, _after)):
        unregister(where, hook)
        register(where, hook)


# --- between an agent and its tools


def _before(context: Any) -> bool | None:
    """Judge the call: False keeps CrewAI from running it."""
    tool = getattr(context.tool, "_original_tool", None) or context.tool
    point = _point_of(tool)
    if point is None:
        return None
    agents, outer = agents_of(context), ACT.get()
    said: Allowed | Refused | None = None
    if isinstance(tool, BaseAgentTool):
        _hand_over(point, agents, context.tool_input)
    else:
        publisher = str(getattr(tool, "server_name", None) or "")
        call = call_of(
            context.tool_name, context.tool_input, "", agents, None, publisher=publisher, fn=getattr(tool, "func", None)
        )
        # The same call inside of itself (work that is handed round) is a new one.
        ACT.set(None)
        said = point.before(call)
        ACT.set(said.action if isinstance(said, Allowed) else outer)
    opened = _Open(context.tool_name, context.tool_input, said, point, outer, _AGENTS.get())
    _OPEN.set((*_OPEN.get(), opened))
    if said is None:
        _AGENTS.set(agents)
    if isinstance(said, Refused) and said.ends:
        _last_iteration(context.agent)
    return False if isinstance(said, Refused) else None


def _last_iteration(agent: Any) -> None:
    """The agent has had its iterations: CrewAI asks it once more, without tools, for its final answer. For this task only."""
    executor = getattr(agent, "agent_executor", None) or agent
    counts = executor.state if hasattr(getattr(executor, "state", None), "iterations") else executor
    if hasattr(counts, "iterations"):
        counts.iterations = max(counts.iterations, getattr(executor, "max_iter", 0))


def _after(context: Any) -> str | None:
    """Note what came back, or tell the model why nothing does."""
    opened = _close(context)
    if opened is None or opened.said is None:
        return None
    if isinstance(opened.said, Refused):
        return opened.said.text
    raw = context.raw_tool_result if context.raw_tool_result is not None else context.tool_result
    opened.point.after(opened.said, context.tool_result or raw, failed=_failed(raw))
    return None


def _close(context: Any) -> _Open | None:
    """The call that this hook ends. Those above it in the same context were left without one: they were cut off."""
    still = _OPEN.get()
    for index in range(len(still) - 1, -1, -1):
        if still[index].tool == context.tool_name and still[index].given == context.tool_input:
            for one in still[index + 1 :]:
                if isinstance(one.said, Allowed):
                    one.point.after(one.said, failed=True)
            _OPEN.set(still[:index])
            ACT.set(still[index].outer)
            _AGENTS.set(still[index].agents)
            return still[index]
    return None


def _hand_over(point: AttachPoint, agents: tuple[str, ...], given: Any) -> None:
    run = RUNNING.get()
    if run is not None and isinstance(given, dict):
        said = " ".join(str(given[name]) for name in ("task", "question", "context") if given.get(name))
        run.message(said, kaizen=point.agent(agents), to=str(given.get("coworker") or ""))


def agents_of(context: Any) -> tuple[str, ...]:
    """The agents down to the one that calls: through whoever handed the work on. The only agent of a crew is the crew."""
    agent = context.agent
    role = str(getattr(agent, "role", "") or "").strip()
    crew = getattr(context, "crew", None) or getattr(agent, "crew", None)
    alone = crew is None or (len(crew.agents) == 1 and getattr(crew, "manager_agent", None) is None)
    above = _AGENTS.get()
    return above if not role or (alone and not above) else (*above, role)


def _point_of(tool: object) -> AttachPoint | None:
    own = getattr(tool, "__dict__", {}).get(_POINT)
    if isinstance(own, AttachPoint):
        return own
    return _ATTACHED[0].point if _ATTACHED else None


def _failed(raw: object) -> bool:
    # CrewAI gives no more than its text where a tool raised; one that says so itself gives a ToolFailure.
    return type(raw).__name__ == "ToolFailure" or (isinstance(raw, str) and raw.startswith("Error executing tool"))


# --- around the tool itself


def _guarded(tool: Any, fn: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(fn)

    def call(args: tuple[object, ...], kwargs: dict[str, object]) -> Call:
        given = dict(signature.bind_partial(*args, **kwargs).arguments) if args else dict(kwargs)
        return Call(tool=sanitize_tool_name(tool.name), arguments=given, fn=fn)

    def point() -> AttachPoint:
        found: AttachPoint = vars(tool)[_POINT]
        return found

    if inspect.iscoroutinefunction(fn):

        async def acalled(*args: Any, **kwargs: Any) -> Any:
            return await point().athrough(call(args, kwargs), lambda: fn(*args, **kwargs), _raise)

        return functools.wraps(fn)(acalled)

    def called(*args: Any, **kwargs: Any) -> Any:
        return point().through(call(args, kwargs), lambda: fn(*args, **kwargs), _raise)

    return functools.wraps(fn)(called)


def _raise(refused: Refused) -> Any:
    raise refused.error()
