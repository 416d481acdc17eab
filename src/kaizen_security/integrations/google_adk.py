"""Google ADK: a plugin of the runner, and a guard on every tool that it is about to run.

The plugin hears of the run and of each call. It judges nothing by itself: callbacks of the agent and of other plugins run after it
and may still change the arguments. What decides is put on the tool itself, on ``run_async``, with the arguments as they are then.

    Runner(app=App(name="billing", root_agent=agent, plugins=[KaizenPlugin(kaizen)]), …)
    attach(kaizen)                     every runner of this process
"""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from contextvars import ContextVar
from types import AsyncGeneratorType
from typing import TYPE_CHECKING, Any

from kaizen_security.contract.errors import HookUnavailable
from kaizen_security.integrations.base import Allowed, AttachPoint, Call, Noted, Refused, attach_point, call_of
from kaizen_security.integrations.elsewhere import tell
from kaizen_security.integrations.google_hosted import Answers, brought_before
from kaizen_security.integrations.runs import RUNNING, Running

try:
    from google.adk.plugins.base_plugin import BasePlugin
    from google.adk.plugins.plugin_manager import PluginManager
    from google.adk.tools.transfer_to_agent_tool import transfer_to_agent
except ImportError as err:
    raise HookUnavailable("google_adk: needs google-adk 1.20 or newer (pip install google-adk)") from err

if TYPE_CHECKING:
    from kaizen_security.client.aio import AsyncKaizen
    from kaizen_security.client.client import Kaizen

SOURCE = "google-adk"
NAME = "kaizen"
MAX_RUNS = 1024
"""Invocations that are remembered; one that was never ended (cancelled, abandoned) is taken for cut off when it must go."""


MAX_EVENTS = 200
"""Events of a session that are looked at when a run begins."""
MAX_ITEMS = 200
"""Items of a tool that streams which are noted as its result."""


_WITHIN: ContextVar[tuple[KaizenPlugin, tuple[str, ...]] | None] = ContextVar("kaizen_adk_within", default=None)
"""Whose tool runs just now: agents that it starts itself, in runners of their own, act for the one that called it."""


class KaizenPlugin(BasePlugin):  # type: ignore[misc]  # ADK is not there when types are checked
    """A plugin for ``App(plugins=[…])`` or ``Runner(plugins=[…])``; where it stands among others does not matter.

    ``kaizen`` is the client of the root agent (None: made from the environment). Agents below it act as ``AGENT/name`` unless
    ``identity`` is False. Raises Misconfigured for a setting that cannot be used.
    """

    def __init__(
        self, kaizen: Kaizen | AsyncKaizen | None = None, *, identity: bool = True, always_ask: bool = False
    ) -> None:
        super().__init__(name=NAME)
        self.point: AttachPoint = attach_point(kaizen, SOURCE, identity=identity, always_ask=always_ask)
        self._runs: OrderedDict[str, tuple[Running, bool]] = OrderedDict()
        self._answers = Answers()

    # --- what ADK tells

    async def on_user_message_callback(self, *, invocation_context: Any, user_message: Any) -> None:
        """The run begins, or goes on: what the user says, or another agent that called this one as a tool."""
        self._run_of(invocation_context, text_of(user_message))

    async def before_run_callback(self, *, invocation_context: Any) -> None:
        """A run that is taken up again has no message."""
        self._run_of(invocation_context)

    async def before_agent_callback(self, *, agent: Any, callback_context: Any) -> None:
        """Programs that the model writes are run by the agent's code executor: no tool, and no callback.

        And where the agent speaks and is spoken to live, older versions of ADK (1.x) tell plugins of no tool, but the agent.
        """
        executor = getattr(agent, "code_executor", None)
        if executor is not None:
            guard_executor(executor)
        if getattr(callback_context._invocation_context, "live_request_queue", None) is not None:
            _tell_of_tools(agent)

    async def before_model_callback(self, *, callback_context: Any, llm_request: Any) -> None:
        """The model is asked: it has heard of what it was refused."""
        self._run_of(callback_context._invocation_context).asked()

    async def before_tool_callback(self, *, tool: Any, tool_args: dict[str, Any], tool_context: Any) -> None:
        """A tool is about to run: see that it is guarded."""
        if not getattr(tool.run_async, "_kaizen", False):
            guard_tool(tool)

    async def on_event_callback(self, *, invocation_context: Any, event: Any) -> None:
        """Words of an agent, once they are whole, and what Google ran for them; and of the user, where they are spoken."""
        heard = getattr(event, "input_transcription", None)
        if heard is not None and getattr(heard, "finished", False) and heard.text:
            self._run_of(invocation_context).request(heard.text)
        if event.author == "user" or (getattr(event, "partial", False) and event.grounding_metadata is None):
            return
        agent = invocation_context.agent.root_agent.find_agent(event.author)
        agents = self.agents_of(agent)
        tell(self.point, agents, self._run_of(invocation_context), self._answers.ran(event, agent))
        said = "" if getattr(event, "partial", False) else text_of(getattr(event, "content", None))
        if said:
            self._run_of(invocation_context).message(said, kaizen=self.point.agent(agents))

    async def after_run_callback(self, *, invocation_context: Any) -> None:
        """The run is over."""
        self._end(invocation_context, completed=True)

    async def on_run_error_callback(self, *, invocation_context: Any, error: Exception) -> None:
        """It failed (ADK 2)."""
        self._end(invocation_context, completed=False)

    async def close(self) -> None:
        """The runner is closed: what was not ended was cut off."""
        while self._runs:
            self._forget(next(iter(self._runs)))

    # --- where an agent stands

    def agents_of(self, agent: Any) -> tuple[str, ...]:
        """The agents from below the root down to ``agent``, by their names; through the tool that started it, if one did."""
        names: tuple[str, ...] = ()
        while agent is not None and agent.parent_agent is not None:
            names = (agent.name, *names)
            agent = agent.parent_agent
        within = _WITHIN.get()
        return within[1] + names if within is not None and within[0] is self else names

    def running(self, invocation_context: Any) -> Running:
        """The run of an invocation."""
        return self._run_of(invocation_context)

    def _run_of(self, invocation_context: Any, said: str = "") -> Running:
        key = invocation_context.invocation_id
        known = self._runs.get(key)
        if known is not None:
            run, own = known
            if said and own:
                run.request(said)
            return run
        outer, within = RUNNING.get(), _WITHIN.get()
        if outer is not None and within is not None and within[0] is self:
            outer.message(said, kaizen=self.point.agent(within[1][:-1]), to=within[1][-1])
            begun = (outer, False)
        else:
            begun = (self._begin(invocation_context, said), True)
        self._runs[key] = begun
        while len(self._runs) > MAX_RUNS:
            self._forget(next(iter(self._runs)))
        return begun[0]

    def _begin(self, invocation_context: Any, said: str) -> Running:
        """A run, with what the user said and what tools brought in earlier ones of the session."""
        events = getattr(invocation_context.session, "events", ())[-MAX_EVENTS:]
        spoken = [text_of(event.content) for event in events if event.author == "user"]
        if spoken and spoken[-1] == said:
            spoken.pop()
        run = self.point.run("\n".join(filter(None, (*spoken, said)))).begin()
        for id_, content in brought_before(events, invocation_context.agent.root_agent):
            run.read(content, action_id=id_)
        return run

    def _end(self, invocation_context: Any, *, completed: bool) -> None:
        self._forget(invocation_context.invocation_id, completed=completed)

    def _forget(self, key: str, *, completed: bool = False) -> None:
        run, own = self._runs.pop(key, (None, False))
        if run is not None and own:
            run.end(completed=completed)


def attach(
    kaizen: Kaizen | AsyncKaizen | None = None, *, identity: bool = True, always_ask: bool = False
) -> Callable[[], None]:
    """Put one plugin into every runner that is made from now on, unless it has one. Gives what takes that off again."""
    plugin = KaizenPlugin(kaizen, identity=identity, always_ask=always_ask)
    _GLOBAL[:] = [plugin]
    if not hasattr(PluginManager.__init__, "_kaizen"):
        inner = PluginManager.__init__

        @functools.wraps(inner)
        def made(self: Any, *args: Any, **kwargs: Any) -> None:
            inner(self, *args, **kwargs)
            if _GLOBAL and not any(isinstance(one, KaizenPlugin) for one in self.plugins):
                self.plugins.append(_GLOBAL[0])

        made._kaizen = True  # type: ignore[attr-defined]
        PluginManager.__init__ = made

    def detach() -> None:
        if plugin in _GLOBAL:
            _GLOBAL.clear()

    return detach


_GLOBAL: list[KaizenPlugin] = []


# --- on the tool itself


def guard_tool(tool: Any) -> None:
    """Judge the calls of ``tool`` where they run. Once for a tool, whoever runs it: whose call it is shows when it comes."""
    inner = tool.run_async
    if getattr(inner, "_kaizen", False):
        return

    hands_over = getattr(tool, "func", None) is transfer_to_agent

    async def run_async(*, args: dict[str, Any], tool_context: Any) -> Any:
        plugin = plugin_of(tool_context._invocation_context)
        if plugin is None:
            return await inner(args=args, tool_context=tool_context)
        call = _call(plugin, tool, args, tool_context)
        if hands_over:
            run, to = plugin.running(tool_context._invocation_context), str(args.get("agent_name", ""))
            run.message(tool.name, kaizen=plugin.point.agent(call.agents), to=to)
            return await inner(args=args, tool_context=tool_context)
        said = await plugin.point.abefore(call)
        if isinstance(said, Refused):
            return _refused(said, tool_context)
        within = _WITHIN.set((plugin, (*call.agents, call.tool)))
        try:
            with Noted(plugin.point, said) as kept:
                kept.content = result = await inner(args=args, tool_context=tool_context)
                if isinstance(result, dict):
                    kept.failed = len(result) == 1 and "error" in result
            # A tool that streams has only begun: what it brings is told when it is over.
            return _noted(plugin, said, result) if isinstance(result, AsyncGeneratorType) else result
        finally:
            _WITHIN.reset(within)

    run_async._kaizen = True  # type: ignore[attr-defined]
    tool.run_async = run_async
    if hasattr(tool, "_call_live"):
        tool._call_live = _judged_stream(tool, tool._call_live)
    _reach(tool)


def _refused(said: Refused, tool_context: Any) -> dict[str, Any]:
    if said.ends:
        tool_context._invocation_context.end_invocation = True  # before the model is asked again
    return {"error": said.text}


def _call(plugin: KaizenPlugin, tool: Any, args: dict[str, Any], tool_context: Any) -> Call:
    context = tool_context._invocation_context
    fn, id_ = getattr(tool, "func", None), tool_context.function_call_id or ""
    return call_of(tool.name, args, id_, plugin.agents_of(context.agent), plugin._run_of(context), fn=fn)


async def _noted(plugin: KaizenPlugin, said: Allowed, items: AsyncGenerator[Any, None]) -> AsyncGenerator[Any, None]:
    """What a streaming tool gives, item by item; what it brought is noted at its end."""
    seen: list[Any] = []
    with plugin.point.noted(said) as kept:
        async with aclosing(items) as going:
            async for item in going:
                if len(seen) < MAX_ITEMS:
                    seen.append(item)
                    kept.content = seen
                yield item


def _judged_stream(
    tool: Any, inner: Callable[..., AsyncGenerator[Any, None]]
) -> Callable[..., AsyncGenerator[Any, None]]:
    """Around ``_call_live``, by which older versions (1.x) run the tools of a live agent that stream their results."""

    async def call_live(
        *, args: dict[str, Any], tool_context: Any, invocation_context: Any
    ) -> AsyncGenerator[Any, None]:
        items = inner(args=args, tool_context=tool_context, invocation_context=invocation_context)
        plugin = plugin_of(invocation_context)
        if plugin is not None:
            said = await plugin.point.abefore(_call(plugin, tool, args, tool_context))
            if isinstance(said, Refused):
                yield {"error": said.text}
                return
            items = _noted(plugin, said, items)
        async with aclosing(items) as going:
            async for item in going:
                yield item

    return call_live


def _tell_of_tools(agent: Any) -> None:
    """Let the agent's own callbacks, of which ours is the last, see that a tool is guarded. Once for an agent."""
    own = getattr(agent, "canonical_before_tool_callbacks", None)
    if own is not None and _guard_it not in own:
        agent.before_tool_callback = [*own, _guard_it]


def _guard_it(tool: Any, args: dict[str, Any], tool_context: Any) -> None:
    guard_tool(tool)


def _reach(tool: Any) -> None:
    """Agents that a tool runs without the runner's plugins (``include_plugins=False``) are guarded by their own callbacks."""
    agent = getattr(tool, "agent", None)
    if agent is None or getattr(tool, "include_plugins", True):
        return

    for one in _tree(agent):
        _tell_of_tools(one)
        if getattr(one, "code_executor", None) is not None:
            guard_executor(one.code_executor)


def _tree(agent: Any) -> list[Any]:
    found = [agent]
    for one in found:
        found.extend(getattr(one, "sub_agents", ()))
    return found


def guard_executor(executor: Any) -> None:
    """Judge the programs that a code executor is given, as kind ``exec``. Once for an executor."""
    inner = executor.execute_code
    if getattr(inner, "_kaizen", False):
        return

    def execute_code(invocation_context: Any, code_execution_input: Any) -> Any:
        plugin = plugin_of(invocation_context)
        if plugin is None:
            return inner(invocation_context, code_execution_input)
        call = Call(
            tool="code_executor",
            arguments={"code": code_execution_input.code},
            agents=plugin.agents_of(invocation_context.agent),
            run=plugin.running(invocation_context),
            kind="exec",
        )
        # ADK calls it like this on its event loop, and waits for the program there as well.
        said = plugin.point.before(call)
        if isinstance(said, Refused):
            from google.adk.code_executors.code_execution_utils import CodeExecutionResult

            return CodeExecutionResult(stderr=said.text)
        with plugin.point.noted(said) as kept:
            done = inner(invocation_context, code_execution_input)
            kept.content, kept.failed = done.stdout or done.stderr, bool(done.stderr)
        return done

    execute_code._kaizen = True  # type: ignore[attr-defined]
    # Executors are pydantic models: an attribute that is no field of theirs is put past their own ``__setattr__``.
    object.__setattr__(executor, "execute_code", execute_code)


def plugin_of(invocation_context: Any) -> KaizenPlugin | None:
    """The plugin of the runner that this invocation belongs to; else that of the tool by which its runner was started."""
    for one in invocation_context.plugin_manager.plugins:
        if isinstance(one, KaizenPlugin):
            return one
    within = _WITHIN.get()
    return within[0] if within is not None else None


def text_of(content: Any) -> str:
    """The words of a ``types.Content``, without what the model thought to itself."""
    parts = getattr(content, "parts", None) or ()
    return "\n".join(part.text for part in parts if part.text and not getattr(part, "thought", None))
