"""OpenAI Agents SDK: ``Runner.run(agent, …, hooks=KaizenHooks(kaizen))``, or ``attach(kaizen)`` once for every run.

Its hooks only observe, and what they raise ends the run. So a tool is judged in ``on_tool_start``, and its own ``on_invoke_tool``
is what gives a refusal back, as the tool's output. The runner is wrapped too: it is where a run begins and ends, and what carries
the run's context into the tasks and the runs of sub-agents that the SDK starts.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from kaizen_security.client.aio import AsyncKaizen
from kaizen_security.client.client import Kaizen
from kaizen_security.contract.errors import HookUnavailable
from kaizen_security.integrations import openai_hosted, openai_local, openai_realtime
from kaizen_security.integrations.base import AttachPoint, Call, Refused, attach_point
from kaizen_security.integrations.openai_items import request, taken_up
from kaizen_security.integrations.openai_local import awaited, marked
from kaizen_security.integrations.openai_session import SESSION, Session, name_of, within

try:
    from agents import RunHooks, ToolsToFinalOutputResult
    from agents import run as _run
except ImportError as err:
    raise HookUnavailable("the OpenAI Agents SDK is not installed: pip install openai-agents") from err
if not hasattr(_run, "set_default_agent_runner"):
    raise HookUnavailable("this OpenAI Agents SDK is too old: Kaizen attaches to 0.2 and newer")

SOURCE = "openai-agents"


_GLOBAL: list[KaizenHooks] = []


class KaizenHooks(RunHooks):  # type: ignore[misc]  # the SDK is not there when types are checked
    """Hooks of a run that ask before each tool runs. ``kaizen`` None: the client of this process.

    ``identity`` and ``always_ask`` as for ``base.AttachPoint``. ``also`` are hooks of your own, called after ours.
    """

    def __init__(
        self,
        kaizen: Kaizen | AsyncKaizen | None = None,
        *,
        identity: bool = True,
        always_ask: bool = False,
        also: Any = None,
    ) -> None:
        self.point = attach_point(kaizen, SOURCE, identity=identity, always_ask=always_ask)
        self.approved = openai_hosted.Approved()
        self._also = also
        _install()

    def with_hooks(self, also: Any) -> KaizenHooks:
        """The same, with hooks of the host behind them."""
        made = copy.copy(self)
        made._also = also
        return made

    async def on_agent_start(self, context: Any, agent: Any) -> None:
        """An agent begins, or takes over."""
        session = SESSION.get()
        if session is not None:
            session.acts(name_of(agent))
        if self._also is not None:
            await self._also.on_agent_start(context, agent)

    async def on_agent_end(self, context: Any, agent: Any, output: Any) -> None:
        """Its final words."""
        session = SESSION.get()
        if session is not None and isinstance(output, str):
            session.running.message(output, kaizen=session.point.agent(session.chain), to="user")
        if self._also is not None:
            await self._also.on_agent_end(context, agent, output)

    async def on_handoff(self, context: Any, from_agent: Any, to_agent: Any) -> None:
        """The work goes to another agent, which is the same run under another identity."""
        session = SESSION.get()
        if session is not None:
            session.hands_over(name_of(from_agent), name_of(to_agent))
        if self._also is not None:
            await self._also.on_handoff(context, from_agent, to_agent)

    async def on_llm_start(self, context: Any, agent: Any, system_prompt: Any, input_items: Any) -> None:
        """What the model gets to read: at the first turn also what earlier runs of the conversation brought."""
        session = SESSION.get()
        if session is not None:
            session.running.asked()
            session.reads(input_items)
            openai_hosted.guard(agent)
        if self._also is not None:
            await self._also.on_llm_start(context, agent, system_prompt, input_items)

    async def on_llm_end(self, context: Any, agent: Any, response: Any) -> None:
        """What the model answered; tools of its provider ran on the way to it."""
        session = SESSION.get()
        if session is not None:
            await openai_hosted.heard(session, context, agent, response.output)
        if self._also is not None:
            await self._also.on_llm_end(context, agent, response)

    async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
        """Judge the call, outside of the tool's own time limit; the tool itself gives a refusal back."""
        session = SESSION.get()
        if session is not None:
            session.acts(name_of(agent))
            _judged(tool)
            call_id = getattr(context, "tool_call_id", "")
            arguments = getattr(context, "tool_arguments", None)
            if call_id and arguments is not None:
                said = await session.point.abefore(_call(session, tool, arguments, call_id))
                session.said[call_id, name_of(tool), str(arguments)] = said
                if isinstance(said, Refused) and said.ends:
                    session.ended[name_of(agent)] = said.text
                    _stops(agent)
        if self._also is not None:
            await self._also.on_tool_start(context, agent, tool)

    async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: Any) -> None:
        """What it brought back was noted where it ran."""
        if self._also is not None:
            await self._also.on_tool_end(context, agent, tool, result)


def attach(
    kaizen: Kaizen | AsyncKaizen | None = None, *, identity: bool = True, always_ask: bool = False
) -> Callable[[], None]:
    """Judge every run of this process, also those whose code knows nothing of Kaizen. Gives what takes it off again."""
    hooks = KaizenHooks(kaizen, identity=identity, always_ask=always_ask)
    _GLOBAL[:] = [hooks]

    def detach() -> None:
        if hooks in _GLOBAL:
            _GLOBAL.clear()

    return detach


# --- runs


class _Runner:
    """The SDK's runner, with a session around each run that Kaizen's hooks are in."""

    def __init__(self, runner: Any) -> None:
        self.runner = runner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.runner, name)

    async def run(self, starting_agent: Any, input: Any, **kwargs: Any) -> Any:  # noqa: A002  # the SDK's own name
        hooks = _hooks(kwargs)
        if hooks is None:
            return await self.runner.run(starting_agent, input, **kwargs)
        with _session(hooks, starting_agent, input) as session, _ending(session):
            return await self.runner.run(starting_agent, input, **kwargs)

    def run_sync(self, starting_agent: Any, input: Any, **kwargs: Any) -> Any:  # noqa: A002
        hooks = _hooks(kwargs)
        if hooks is None:
            return self.runner.run_sync(starting_agent, input, **kwargs)
        with _session(hooks, starting_agent, input) as session, _ending(session):
            return self.runner.run_sync(starting_agent, input, **kwargs)

    def run_streamed(self, starting_agent: Any, input: Any, **kwargs: Any) -> Any:  # noqa: A002
        hooks = _hooks(kwargs)
        if hooks is None:
            return self.runner.run_streamed(starting_agent, input, **kwargs)
        with _session(hooks, starting_agent, input) as session:
            result = self.runner.run_streamed(starting_agent, input, **kwargs)
        task = getattr(result, "run_loop_task", None) or getattr(result, "_run_impl_task", None)
        if task is not None:
            task.add_done_callback(
                lambda done: session.running.end(completed=not done.cancelled() and done.exception() is None)
            )
        return result


def _install() -> None:
    runner = _run.get_default_agent_runner()
    if not isinstance(runner, _Runner):
        _run.set_default_agent_runner(_Runner(runner))
    openai_realtime.install(_live, within, _judged)


def _live(agent: Any) -> Session | None:
    """A session of ours for a realtime one that begins; None where no ``attach`` wants it."""
    if not _GLOBAL:
        return None
    session = Session(_GLOBAL[0], _GLOBAL[0].point.run().begin(), ())
    session.acts(name_of(agent))
    return session


def _hooks(kwargs: dict[str, Any]) -> KaizenHooks | None:
    """Kaizen's hooks for a run: the caller's, those of the run that it is part of, or those of ``attach``. Put into ``kwargs``."""
    given = kwargs.get("hooks")
    if isinstance(given, KaizenHooks):
        return given
    outer = SESSION.get()
    found = outer.hooks if outer is not None else _GLOBAL[0] if _GLOBAL else None
    if found is None:
        return None
    kwargs["hooks"] = hooks = found.with_hooks(given)
    return hooks


@contextmanager
def _session(hooks: KaizenHooks, agent: Any, given: Any) -> Iterator[Session]:
    outer = SESSION.get()
    state, given = taken_up(given)
    asked = request(given)
    if outer is not None and outer.point is hooks.point:
        # A sub-agent as a tool. What it was told are its parent's words, which are no request of the user.
        running, above = outer.running, (*outer.chain, name_of(agent))
    else:
        running, above = hooks.point.run(asked).begin(), ()
    session = Session(hooks, running, above, asked)
    session.acts(name_of(agent))
    if state is not None:
        # Taken up where it waited for a person: its tools run before a model is asked.
        session.reads(state)
    with within(session):
        yield session


@contextmanager
def _ending(session: Session) -> Iterator[None]:
    completed = False
    try:
        yield
        completed = True
    finally:
        if not session.above:
            session.running.end(completed=completed)


# --- tools


def _judged(tool: Any) -> None:
    """See to it that whatever runs this tool asks first. Once for each tool object; a copy of it is met again."""
    for name in ("on_invoke_tool", "executor"):
        given = getattr(tool, name, None)
        if callable(given) and not getattr(given, "__kaizen_judged__", False):
            setattr(tool, name, _asking(tool, given, whole=name == "executor"))
    openai_local.guard(tool, _asked)


def _asked(tool: Any, arguments: dict[str, object]) -> tuple[AttachPoint, Call] | None:
    session = SESSION.get()
    return None if session is None else (session.point, _call(session, tool, arguments, ""))


def _asking(tool: Any, given: Any, *, whole: bool) -> Any:
    if whole:
        # Shell tools: what is to be run is in the request, and its output is text.
        async def executor(request: Any) -> Any:
            session = SESSION.get()
            if session is None:
                return await awaited(given(request))
            call = _call(session, tool, _shell(request), "")
            return await session.point.athrough(call, lambda: awaited(given(request)), lambda refused: refused.text)

        return marked(functools.wraps(given)(executor))
    if not type(given).__module__.startswith("agents."):

        async def invoke(context: Any, arguments: str) -> Any:
            return await _invoked(tool, given, context, arguments)

        return marked(functools.wraps(given)(invoke))
    # The SDK's own invoker is an object that it looks into: the same object in a class of its own.
    kind = type(given)

    async def called(self: Any, context: Any, arguments: str) -> Any:
        return await _invoked(tool, functools.partial(kind.__call__, self), context, arguments)

    judged = copy.copy(given)
    judged.__class__ = type(kind.__name__, (kind,), {"__call__": functools.wraps(kind.__call__)(called)})
    return marked(judged)


async def _invoked(tool: Any, given: Callable[..., Awaitable[Any]], context: Any, arguments: str) -> Any:
    session = SESSION.get()
    if session is None:
        return await given(context, arguments)
    call_id = getattr(context, "tool_call_id", "")
    said = session.said.pop((call_id, name_of(tool), str(arguments)), None)
    if said is None:
        said = await session.point.abefore(_call(session, tool, arguments, call_id))
    if isinstance(said, Refused):
        return said.text
    with session.point.noted(said) as kept:
        kept.content = found = await given(context, arguments)
    return found


def _stops(agent: Any) -> None:
    """Let the agent's own rule of what it does with the results of tools (``tool_use_behavior``) give a last word where there is
    one; else it is what it was. Only where words are an answer. Once for an agent.
    """
    rule = agent.tool_use_behavior
    if getattr(agent, "output_type", None) not in (None, str) or hasattr(rule, "__kaizen_judged__"):
        return

    async def ruled(context: Any, results: list[Any]) -> Any:
        session = SESSION.get()
        if session is not None and session.last_word:
            return ToolsToFinalOutputResult(is_final_output=True, final_output=session.last_word)
        if callable(rule):
            return await awaited(rule(context, results))
        names = rule.get("stop_at_tool_names", ()) if isinstance(rule, dict) else ()
        for one in results:
            if rule == "stop_on_first_tool" or {one.tool.name, getattr(one.tool, "qualified_name", "")} & set(names):
                return ToolsToFinalOutputResult(is_final_output=True, final_output=one.output)
        return ToolsToFinalOutputResult(is_final_output=False, final_output=None)

    agent.tool_use_behavior = marked(ruled)


def _call(session: Session, tool: Any, arguments: Any, call_id: str) -> Call:
    origin = getattr(tool, "_tool_origin", None)
    return Call(
        tool=name_of(tool),
        arguments=arguments,
        id=call_id,
        agents=session.chain,
        run=session.running,
        fn=getattr(tool, "__wrapped__", None),
        publisher=str(getattr(origin, "mcp_server_name", "") or ""),
        kind="exec" if getattr(tool, "executor", None) is not None else "tool_call",
    )


def _shell(request: Any) -> object:
    action = getattr(getattr(request, "data", None), "action", None)
    commands = getattr(action, "commands", None) or getattr(action, "command", None)
    return {"commands": list(commands) if isinstance(commands, list | tuple) else commands}
