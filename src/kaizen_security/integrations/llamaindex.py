"""LlamaIndex: agents and workflows with their runs, and a guard for any tool.

    attach(kaizen, agent)            a FunctionAgent, ReActAgent, CodeActAgent, AgentWorkflow or any Workflow
    guard_tool(kaizen, tool)         a FunctionTool, QueryEngineTool or any other tool, by whomever it is called

LlamaIndex tells of a tool call only after it has begun, so the call itself is wrapped: for agents where they make it, for a tool on
the tool. A refusal is a tool's output that says it is an error, as LlamaIndex makes one of a tool that raised.
"""

from __future__ import annotations

import functools
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from kaizen_security.client.acts import ACT
from kaizen_security.contract.errors import HookUnavailable, Misconfigured
from kaizen_security.integrations.base import AttachPoint, Refused, attach_point, call_of
from kaizen_security.integrations.llamaindex_tools import AGENTS, SOURCE, refusal_of
from kaizen_security.integrations.llamaindex_tools import guard_tool as guard_tool
from kaizen_security.integrations.runs import RUNNING, Conversations, Running, beside

try:
    from llama_index.core.agent.workflow import AgentOutput, AgentWorkflow
    from llama_index.core.agent.workflow.base_agent import BaseWorkflowAgent
    from llama_index.core.agent.workflow.multi_agent_workflow import handoff
    from llama_index.core.base.llms.types import ChatMessage
    from llama_index.core.workflow import Workflow
except ImportError as err:
    raise HookUnavailable("llamaindex: needs llama-index-core 0.14.15 or newer (pip install llama-index-core)") from err

if TYPE_CHECKING:
    from kaizen_security.client.aio import AsyncKaizen
    from kaizen_security.client.client import Kaizen

    T = TypeVar("T")

MAX_RUNS = 1024
"""Runs whose hand-overs are remembered."""
_ENDED: OrderedDict[tuple[str, str], str] = OrderedDict()
"""By run and agent, where one goes on asking for what it is refused: its last word."""


def attach(
    kaizen: Kaizen | AsyncKaizen | None = None, *parts: Any, identity: bool = True, always_ask: bool = False
) -> AttachPoint:
    """Attach agents and workflows in place, or, without any, every agent of this process; what they take and give stays as it is.

    The agent that is run first acts as the client's own; those that it hands over to, or calls as tools, as ``AGENT/name`` unless
    ``identity`` is False. Of a workflow that is no agent's only the run is told: guard the tools that its steps call.
    Raises Misconfigured for another thing or a setting that cannot be used.
    """
    point = attach_point(kaizen, SOURCE, identity=identity, always_ask=always_ask)
    for part in parts:
        if not isinstance(part, Workflow):
            raise Misconfigured(f"attach: {type(part).__name__} is no agent or workflow of LlamaIndex")
    if not parts:
        _install(AgentWorkflow, BaseWorkflowAgent)
        _GLOBAL[:] = [point]
    for part in parts:
        _install(*type(part).__mro__)
        _put(part, "_kaizen_own", point)
    return point


def detach() -> None:
    """Take off what ``attach`` without agents put on; those that were attached one by one stay so."""
    _GLOBAL.clear()


_GLOBAL: list[AttachPoint] = []


def _install(*kinds: type) -> None:
    """Let the workflows and agents of these classes look whether they are attached when they run, or call a tool. Once.

    On the classes, not on the agent: a copy of it is attached as well, and runs itself. Those that are not stay what they were.
    """
    for kind in kinds:
        for name, of in _METHODS.items():
            there = vars(kind).get(name)
            if issubclass(kind, of) and callable(there) and not hasattr(there, "_kaizen"):
                setattr(kind, name, _stepping(there) if name == "take_step" else _looking(name, there))


_METHODS = {"run": Workflow, "_call_tool": (AgentWorkflow, BaseWorkflowAgent), "take_step": BaseWorkflowAgent}


def _stepping(inner: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Around the step in which an agent asks its model: one that goes on asking for what it is refused is not asked again, and
    answers with the refusal; only where words are an answer.
    """

    @functools.wraps(inner)
    async def take_step(self: Any, *args: Any, **kwargs: Any) -> Any:
        run = RUNNING.get()
        if run is not None:
            run.asked()
            word = _ENDED.pop((run.id, str(self.name)), "")
            if word and self.output_cls is None and self.structured_output_fn is None:
                answer = ChatMessage(role="assistant", content=word)
                return AgentOutput(response=answer, current_agent_name=self.name)
        return await inner(self, *args, **kwargs)

    take_step._kaizen = True  # type: ignore[attr-defined]
    return take_step


def _looking(name: str, inner: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(inner)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        everyone = _GLOBAL[0] if _GLOBAL and isinstance(self, AgentWorkflow | BaseWorkflowAgent) else None
        point = vars(self).get("_kaizen_own") or everyone
        if point is None or getattr(_BEGINNING, "part", None) is self:
            return inner(self, *args, **kwargs)
        attached = vars(self).get("_kaizen_attached")
        if attached is None or attached.point is not point or attached.part is not self:
            attached = _Attached(point, self)
            _put(self, "_kaizen_attached", attached)
        ours = attached.run if name == "run" else attached.call_tool
        return ours(functools.partial(inner, self), *args, **kwargs)

    method._kaizen = True  # type: ignore[attr-defined]
    return method


_BEGINNING = threading.local()
"""``part`` is the workflow whose ``run`` is just being called in this thread: a class's own may call that of the one below."""


def _put(part: Any, name: str, made: Any) -> None:
    # Agents are pydantic models: an attribute that is no field of theirs is put past their own ``__setattr__``.
    object.__setattr__(part, name, made)


# --- an agent or a workflow


class _Attached:
    """One workflow: its runs, and the calls of the agents in it."""

    def __init__(self, point: AttachPoint, part: Any) -> None:
        self.point = point
        self.part = part
        self._handed: OrderedDict[str, dict[str, tuple[str, ...]]] = OrderedDict()
        for one in (part, *(part.agents.values() if isinstance(part, AgentWorkflow) else ())):
            _install(*type(one).__mro__)

    def __deepcopy__(self, memo: object) -> None:
        """A deep copy of the agent has none, and gets its own when it runs."""

    @property
    def _first(self) -> str:
        """The agent that begins."""
        part = self.part
        return str(getattr(part, "root_agent", None) or getattr(part, "name", None) or type(part).__name__)

    def run(self, inner: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """In place of ``run``, which is ``inner``."""
        outer, words = RUNNING.get(), _words(args, kwargs)
        if outer is not None and ACT.get() is not None:
            # A tool of another agent's runs this one: its order is no word of the user's.
            above = AGENTS.get()
            outer.message(words, kaizen=self.point.agent(above), to=self._first)
            return self._begun(functools.partial(inner, *args, **kwargs), outer, (*above, self._first), own=False)
        run = outer or self._begin(words, kwargs)
        return self._begun(functools.partial(inner, *args, **kwargs), run, (), own=outer is None)

    def _begin(self, words: str, kwargs: dict[str, Any]) -> Running:
        """A run: the next one of its conversation, if the host keeps one."""
        run = _CONTEXTS.begin(self.point.kaizen, kwargs.get("ctx"), words)
        for message in kwargs.get("chat_history") or ():
            if str(getattr(getattr(message, "role", None), "value", "")) == "tool":
                run.read(message.content, action_id=str(message.additional_kwargs.get("tool_call_id") or ""))
        return run

    def _begun(self, inner: Callable[[], Any], run: Running, agents: tuple[str, ...], *, own: bool) -> Any:
        # The tasks of the workflow are made in here, and take this context along.
        tokens = AGENTS.set(agents), ACT.set(None)
        handler, _BEGINNING.part = None, self.part
        try:
            with run.within():
                handler = inner()
        finally:
            _BEGINNING.part = None
            AGENTS.reset(tokens[0])
            ACT.reset(tokens[1])
            if handler is None and own:
                run.end(completed=False)
        beside(self._ended(run, agents, handler, own=own))
        return handler

    async def _ended(self, run: Running, agents: tuple[str, ...], handler: Any, *, own: bool) -> None:
        completed = False
        try:
            result = await handler
            completed = True
            response = getattr(result, "response", None)
            said = getattr(response, "content", None) if response is not None else result
            if isinstance(said, str):
                who = self._handed.get(run.id, {}).get(str(getattr(result, "current_agent_name", "")), agents)
                run.message(said, kaizen=self.point.agent(who))
        except Exception:  # noqa: BLE001  # a listed boundary
            # Whoever awaits the handler gets it too; here it only means that the run was not completed.
            return
        finally:
            self._handed.pop(run.id, None)
            if own:
                run.end(completed=completed)

    # --- calls of agents

    async def call_tool(self, inner: Callable[..., Any], ctx: Any, tool: Any, tool_input: Any) -> Any:
        """In place of ``_call_tool``, which both kinds of agents have, and by which every call of theirs goes."""
        run = RUNNING.get()
        agents = await self._agents(run, ctx)
        if getattr(tool, "real_fn", None) is handoff:
            return await self._hand_over(inner(ctx, tool, tool_input), run, agents, tool_input)
        call = call_of(tool.metadata.get_name(), tool_input, "", agents, None, fn=getattr(tool, "real_fn", None))
        said = await self.point.abefore(call)
        if isinstance(said, Refused):
            if said.ends and run is not None:
                who = self._first if agents == AGENTS.get() else agents[-1]
                _ENDED[run.id, who] = said.text
                while len(_ENDED) > MAX_RUNS:
                    _ENDED.popitem(last=False)
            return refusal_of(tool, tool_input, said)
        within = AGENTS.set(agents)
        try:
            with self.point.noted(said) as kept:
                output = await inner(ctx, tool, tool_input)
                kept.content, kept.failed = output.content, bool(output.is_error)
            return output
        finally:
            AGENTS.reset(within)

    async def _agents(self, run: Running | None, ctx: Any) -> tuple[str, ...]:
        base = AGENTS.get()
        if not isinstance(self.part, AgentWorkflow):
            return base
        name = await ctx.store.get("current_agent_name", default=self._first)
        if name == self._first:
            return base
        handed = self._handed.get(run.id, {}) if run is not None else {}
        return handed.get(name, (*base, name))

    async def _hand_over(
        self, handing: Awaitable[Any], run: Running | None, agents: tuple[str, ...], tool_input: Any
    ) -> Any:
        output = await handing
        to = tool_input.get("to_agent") if isinstance(tool_input, Mapping) else None
        if run is not None and isinstance(to, str) and to in self.part.agents and to != self._first:
            handed = self._handed.setdefault(run.id, {})
            while len(self._handed) > MAX_RUNS:
                self._handed.popitem(last=False)
            handed[to] = agents[: agents.index(to) + 1] if to in agents else (*agents, to)
        if run is not None and isinstance(to, str):
            run.message(str(tool_input.get("reason") or "handoff"), kaizen=self.point.agent(agents), to=to)
        return output


_CONTEXTS = Conversations()


def _words(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """What the user asks, however a workflow takes it."""
    asked = kwargs.get("user_msg") or (args[0] if args else None)
    if asked is None and kwargs.get("chat_history"):
        asked = next((one for one in reversed(kwargs["chat_history"]) if str(one.role.value) == "user"), None)
    if asked is None:
        asked = kwargs.get("start_event") or "\n".join(value for value in kwargs.values() if isinstance(value, str))
    if hasattr(asked, "content"):
        asked = asked.content
    elif hasattr(asked, "model_dump"):
        asked = "\n".join(value for value in asked.model_dump().values() if isinstance(value, str))
    return asked if isinstance(asked, str) else ""
