"""Pydantic AI: ``Agent(…, capabilities=[KaizenCapability(kaizen)])``, ``guard`` for one tool, or ``attach(kaizen)`` once for all.

A capability may stand around each tool's execution and around the run, which is all that is needed: nothing of Pydantic AI is
replaced but ``Agent.iter``, which every way of running an agent leads through, so that agents that a tool of ours runs are judged
as well.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from kaizen_security.client.acts import ACT
from kaizen_security.client.aio import AsyncKaizen
from kaizen_security.client.arguments import plain
from kaizen_security.client.client import Kaizen
from kaizen_security.client.noting import RUN
from kaizen_security.contract.errors import HookUnavailable
from kaizen_security.integrations.base import Allowed, AttachPoint, Call, Refused, attach_point, call_of, in_order
from kaizen_security.integrations.elsewhere import tell
from kaizen_security.integrations.pydantic_native import ran_elsewhere
from kaizen_security.integrations.runs import RUNNING, Running

try:
    from pydantic_ai import Agent, RunContext
    from pydantic_ai.capabilities import AbstractCapability, CombinedCapability
    from pydantic_ai.capabilities.abstract import CapabilityOrdering
    from pydantic_ai.exceptions import ModelRetry, SkipModelRequest, SkipToolExecution
    from pydantic_ai.messages import ModelResponse, TextPart, ToolReturnPart, UserPromptPart
except ImportError as err:
    raise HookUnavailable("Pydantic AI is not installed, or older than 2: pip install 'pydantic-ai-slim>=2'") from err

SOURCE = "pydantic-ai"
MAX_MESSAGES = 200
"""Messages of a conversation that are looked at when a run begins."""


class _Frame:
    """The run of one agent: which capability judges it, the run of Kaizen that it belongs to, and who acts in it."""

    __slots__ = ("agents", "capability", "ended", "running")

    def __init__(self, capability: KaizenCapability, running: Running, agents: tuple[str, ...]) -> None:
        self.capability = capability
        self.running = running
        self.agents = agents
        self.ended = ""
        """What is said in place of the model, which does not stop asking for what is refused."""


_FRAME: ContextVar[_Frame | None] = ContextVar("kaizen_pydantic_ai", default=None)
_CHANGED: ContextVar[Allowed | None] = ContextVar("kaizen_pydantic_ai_changed", default=None)
"""The call as another capability has changed it after it was judged, judged again."""
_GLOBAL: list[KaizenCapability] = []


class KaizenCapability(AbstractCapability):  # type: ignore[misc]  # Pydantic AI is not there when types are checked
    """Every tool of the agent, of its toolsets and MCP servers, and of agents that its tools run, is judged before it runs.

    ``identity`` and ``always_ask`` as for ``base.AttachPoint``.
    """

    def __init__(
        self, kaizen: Kaizen | AsyncKaizen | None = None, *, identity: bool = True, always_ask: bool = False
    ) -> None:
        self.point: AttachPoint = attach_point(kaizen, SOURCE, identity=identity, always_ask=always_ask)
        _install()

    def get_ordering(self) -> Any:
        """Innermost: what is judged is what the tool is called with, whatever other capabilities make of the arguments."""
        return CapabilityOrdering(position="innermost")

    async def wrap_run(self, ctx: Any, *, handler: Callable[[], Awaitable[Any]]) -> Any:
        """One run: the request, what earlier runs of the conversation brought, the final words."""
        outer = _FRAME.get()
        if outer is not None and outer.capability.point is self.point:
            # An agent that a tool runs. What it is told are the words of the agent that called it, no request of the user.
            frame = _Frame(self, outer.running, (*outer.agents, _name(ctx)))
            return await self._within(frame, handler)
        running = self.point.run(_request(ctx)).begin()
        for id_, content in _results(ctx.messages):
            running.read(content, action_id=id_)
        completed = False
        try:
            result = await self._within(_Frame(self, running, ()), handler)
            output = getattr(result, "output", None)
            running.message(output if isinstance(output, str) else "")
            completed = True
            return result
        finally:
            running.end(completed=completed)

    @staticmethod
    async def _within(frame: _Frame, handler: Callable[[], Awaitable[Any]]) -> Any:
        tokens = _FRAME.set(frame), RUN.set(frame.running.id), RUNNING.set(frame.running)
        try:
            return await handler()
        finally:
            _FRAME.reset(tokens[0])
            RUN.reset(tokens[1])
            RUNNING.reset(tokens[2])

    async def wrap_tool_execute(
        self, ctx: Any, *, call: Any, tool_def: Any, args: Any, handler: Callable[[Any], Awaitable[Any]]
    ) -> Any:
        """Judge the call; a refusal is the tool's result."""
        return await self._judged(call, tool_def, handler, args)

    def _judged(self, call: Any, tool_def: Any, handler: Callable[[Any], Awaitable[Any]], args: Any) -> Awaitable[Any]:
        asked, frame = _asked(call, tool_def, args)

        def over(found: Any, *, failed: bool) -> None:
            changed = _CHANGED.get()
            if changed is not None and changed.action.act_id == asked.id:
                _CHANGED.set(None)
                self.point.after(changed, _shown(found), failed=failed)

        async def ran() -> Any:
            try:
                found = await handler(args)
                over(found, failed=False)
                return found
            finally:
                over(None, failed=True)  # unless that was told: what leaves this by an exception has failed

        return self.point.athrough(asked, ran, lambda refused: _told(refused, frame), _shown)

    async def before_tool_execute(self, ctx: Any, *, call: Any, tool_def: Any, args: Any) -> Any:
        """Last of all: newer versions let others change the arguments here, within ``wrap_tool_execute``: another call then."""
        act = ACT.get()
        if act is None or (act.source, act.tool, act.act_id) != (SOURCE, tool_def.name, call.tool_call_id or ""):
            return args  # older versions: it is judged after this
        if act.metadata.get("arguments") == plain(args):
            return args
        asked, frame = _asked(call, tool_def, args)
        token = ACT.set(None)
        try:
            said = await self.point.abefore(asked)
        finally:
            ACT.reset(token)
        if isinstance(said, Refused):
            raise SkipToolExecution(_told(said, frame))
        _CHANGED.set(said)
        ACT.set(said.action)
        return args

    async def wrap_output_process(
        self, ctx: Any, *, output_context: Any, output: Any, handler: Callable[[Any], Awaitable[Any]]
    ) -> Any:
        """A function that makes the output of what the model calls it with is a tool by another name; what only makes something
        of the model's words is none.
        """
        call = output_context.tool_call
        if not output_context.has_function or call is None:
            return await handler(output)
        frame = _FRAME.get()
        agents, run = ((), None) if frame is None else (frame.agents, frame.running)
        given = output if isinstance(output, dict) else call.args
        asked = call_of(str(output_context.function_name or call.tool_name), given, call.tool_call_id, agents, run)

        def refuse(refused: Refused) -> Any:
            words = bool(output_context.allows_text)
            if words and (refused.ends or ctx.last_attempt):
                return refused.text
            raise ModelRetry(refused.text)

        return await self.point.athrough(asked, lambda: handler(output), refuse, _shown)

    async def before_model_request(self, ctx: Any, request_context: Any) -> Any:
        """A model that does not stop asking is not asked again; only where words are an answer, or the run would break on them."""
        frame = _FRAME.get()
        if frame is not None:
            frame.running.asked()
        _spare(ctx, self)
        words = getattr(getattr(ctx, "agent", None), "output_type", None) is str
        if frame is not None and frame.ended and frame.capability is self and words:
            raise SkipModelRequest(ModelResponse(parts=[TextPart(frame.ended)]))
        return request_context

    async def after_model_request(self, ctx: Any, *, request_context: Any, response: Any) -> Any:
        """Tools that the model's provider ran on the way to this answer are told: nobody could be asked about them."""
        frame = _FRAME.get()
        if frame is not None and frame.capability is self:
            tell(self.point, frame.agents, frame.running, ran_elsewhere(response.parts))
        return response


class _Sparing(CombinedCapability):  # type: ignore[misc]  # see KaizenCapability
    """A run's capabilities as its tools meet them: ours stands at one place, where a tool is executed, instead of at all.

    Pydantic AI copies the run's context for each capability at each of eight places around a call, whether that has anything to say
    there or not; that would be two thirds of what an allowed call costs.
    """

    _ours: KaizenCapability
    _all: Any
    _changes: bool
    """Whether any of the others is asked before a tool is executed."""

    async def before_tool_execute(self, ctx: Any, **about: Any) -> Any:
        """The others, and then ours, if any of them may have changed something."""
        args = await super().before_tool_execute(ctx, **about)
        return await self._ours.before_tool_execute(ctx, **{**about, "args": args}) if self._changes else args

    async def wrap_tool_execute(self, ctx: Any, *, call: Any, tool_def: Any, args: Any, handler: Any) -> Any:
        """Innermost, as in the order of all of them."""
        judged = functools.partial(self._ours._judged, call, tool_def, handler)
        return await super().wrap_tool_execute(ctx, call=call, tool_def=tool_def, args=args, handler=judged)

    async def wrap_output_process(self, ctx: Any, **about: Any) -> Any:
        """As before: there is one output in a run."""
        return await self._all.wrap_output_process(ctx, **about)


def _spare(ctx: Any, ours: KaizenCapability) -> None:
    """Let the tools of this run's step, and of those after it, meet ``_Sparing``. One that is not as we know it stays as it is."""
    tools: Any = getattr(ctx, "tool_manager", None)
    whole: Any = getattr(tools, "root_capability", None)
    # Somebody's own kind of either may do more at the other places.
    if type(whole) is not CombinedCapability or type(ours) is not KaizenCapability:
        return
    order = "_dispatch" if hasattr(whole, "_dispatch") else "capabilities"
    others = [one for one in getattr(whole, order) if one is not ours]
    if len(others) + 1 != len(getattr(whole, order)):
        return
    sparing: Any = copy.copy(whole)
    sparing.__class__ = _Sparing
    sparing._ours, sparing._all = ours, whole
    plainly = AbstractCapability.before_tool_execute
    sparing._changes = any(type(one).before_tool_execute is not plainly for one in others)
    setattr(sparing, order, others)
    tools.root_capability = sparing


def guard(kaizen: Kaizen | AsyncKaizen | None, tool: Any = None, *, always_ask: bool = False) -> Any:
    """A tool's function whose calls are judged: ``Agent(tools=[guard(kaizen, search)])``. What it is to Pydantic AI stays the same.

    ``guard(search)`` alone takes the client of this process; the two may be given in either order.

    The run context that it may take is no argument of the call. A refusal is its result.
    """
    kaizen, tool = in_order(kaizen, tool)
    point = attach_point(kaizen, SOURCE, always_ask=always_ask)
    signature = inspect.signature(tool)

    def call(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Call:
        bound = signature.bind(*args, **kwargs)
        given = {name: value for name, value in bound.arguments.items() if not isinstance(value, RunContext)}
        context = next((value for value in bound.arguments.values() if isinstance(value, RunContext)), None)
        id_ = str(getattr(context, "tool_call_id", "") or "")
        frame = _FRAME.get()
        agents = () if frame is None else frame.agents
        return Call(tool=tool.__name__, arguments=given, id=id_, agents=agents, fn=tool)

    if inspect.iscoroutinefunction(tool):

        async def aguarded(*args: Any, **kwargs: Any) -> Any:
            return await point.athrough(call(args, kwargs), lambda: tool(*args, **kwargs), _text, _shown)

        return functools.wraps(tool)(aguarded)

    def guarded(*args: Any, **kwargs: Any) -> Any:
        return point.through(call(args, kwargs), lambda: tool(*args, **kwargs), _text, _shown)

    return functools.wraps(tool)(guarded)


def attach(
    kaizen: Kaizen | AsyncKaizen | None = None, *, identity: bool = True, always_ask: bool = False
) -> Callable[[], None]:
    """Judge every run of every agent of this process. Gives what takes it off again."""
    capability = KaizenCapability(kaizen, identity=identity, always_ask=always_ask)
    _GLOBAL[:] = [capability]

    def detach() -> None:
        if capability in _GLOBAL:
            _GLOBAL.clear()

    return detach


_INSTALLED: list[bool] = []


def _install() -> None:
    """Let ``Agent.iter``, and ``realtime`` where there is one, bring our capability where a run of ours or ``attach`` wants it.

    Once.
    """
    if _INSTALLED:
        return
    _INSTALLED.append(True)
    Agent.iter = _bringing(Agent.iter)
    if hasattr(Agent, "realtime"):
        Agent.realtime = _bringing(Agent.realtime)


def _bringing(begun: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(begun)
    def begin(self: Any, *args: Any, **kwargs: Any) -> Any:
        outer = _FRAME.get()
        wanted = outer.capability if outer is not None else _GLOBAL[0] if _GLOBAL else None
        if wanted is not None:
            given = list(kwargs.get("capabilities") or ())
            there = (one for held in (self.root_capability, *given) for one in _leaves(held))
            if not any(isinstance(one, KaizenCapability) for one in there):
                kwargs["capabilities"] = [*given, wanted]
        return begun(self, *args, **kwargs)

    return begin


def _leaves(capability: Any) -> Iterator[Any]:
    inner = getattr(capability, "capabilities", None)
    if isinstance(inner, list | tuple):
        for one in inner:
            yield from _leaves(one)
    elif getattr(capability, "wrapped", None) is not None:
        yield from _leaves(capability.wrapped)
    else:
        yield capability


def _asked(call: Any, tool_def: Any, args: Any) -> tuple[Call, _Frame | None]:
    """The call as it is judged, and in which run."""
    frame = _FRAME.get()
    agents, run = ((), None) if frame is None else (frame.agents, frame.running)
    return call_of(str(tool_def.name), args, str(call.tool_call_id or ""), agents, run), frame


def _told(refused: Refused, frame: _Frame | None) -> str:
    """The tool's result in place of its own."""
    if frame is not None and refused.ends:
        frame.ended = refused.text
    return refused.text


def _text(refused: Refused) -> Any:
    return refused.text


def _shown(found: Any) -> object:
    """What a tool brought back: of a ``ToolReturn`` what the model gets to read."""
    if type(found).__name__ == "ToolReturn":
        return {"return_value": found.return_value, "content": getattr(found, "content", None)}
    return found


def _name(ctx: Any) -> str:
    return str(getattr(getattr(ctx, "agent", None), "name", None) or "agent")


def _request(ctx: Any) -> str:
    """The user's words, those of earlier runs of the conversation too."""
    said = []
    for message in ctx.messages[-MAX_MESSAGES:]:
        said += [_words(part.content) for part in message.parts if isinstance(part, UserPromptPart)]
    said.append(_words(ctx.prompt))
    return "\n".join(filter(None, said))


def _words(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list | tuple) else ()
    return "\n".join(part for part in parts if isinstance(part, str))


def _results(messages: Any) -> Iterator[tuple[str, object]]:
    for message in messages[-MAX_MESSAGES:]:
        for part in message.parts:
            if isinstance(part, ToolReturnPart):
                yield str(part.tool_call_id or ""), part.content
