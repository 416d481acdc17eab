"""The calls of the frameworks, each with and without its adapter, for ``python -m benchmarks integrations``."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

ARGUMENTS = {"query": "orders of the last week", "limit": 20}
FOUND = "42 orders, of which 3 are open; the oldest is of Monday. " * 8
MANY = 20
"""Calls in one go of a framework whose tools are called within runs only; what a run costs by itself is shared among them. The
others make one.
"""
THINKS = 0.05
"""Seconds that the model takes to ask for its calls, where waits for verdicts are measured: less than any real one."""


@dataclass(frozen=True, slots=True)
class Calls:
    """The same ``calls`` allowed calls of a tool without and with the adapter.

    ``hooked``  with an attachment of the framework's own kind that does nothing: what attaching anything there costs
    """

    bare: Callable[[], object]
    judged: Callable[[], object]
    calls: int = 1
    hooked: Callable[[], object] | None = None


def search(query: str, limit: int = 10) -> str:
    """Look for orders."""
    return FOUND


async def asearch(query: str, limit: int = 10) -> str:
    """Look for orders."""
    return FOUND


def after(thinks: float, judged: Callable[[], object]) -> Callable[[], object]:
    """The call of a framework that is measured without a model: ``thinks`` seconds after the one before."""

    def thought() -> object:
        time.sleep(thinks)
        return judged()

    return thought if thinks else judged


def on_a_loop(*made: Callable[[], Awaitable[object]], calls: int = 1, thinks: float = 0.0) -> Calls:
    """Bare, judged and hooked on one event loop; ``thinks``: what has no model is judged so many seconds later."""
    loop = asyncio.new_event_loop()

    def run(one: Callable[[], Awaitable[object]], pause: float = 0.0) -> Callable[[], object]:
        async def thought() -> object:
            await asyncio.sleep(pause)
            return await one()

        return lambda: loop.run_until_complete(thought() if pause else one())

    bare, judged, *hooked = made
    return Calls(run(bare), run(judged, thinks), calls, run(hooked[0]) if hooked else None)


def base(kaizen: Any, many: int = MANY, thinks: float = 0.0) -> Calls:
    """The piece that every adapter uses."""
    from kaizen_security.integrations.base import Call, attach_point

    point = attach_point(kaizen, "langchain")

    def judged() -> object:
        call = Call(tool="search", arguments=ARGUMENTS)
        return point.through(call, lambda: search(**ARGUMENTS), lambda no: no.text)

    return Calls(lambda: search(**ARGUMENTS), after(thinks, judged))


# --- environment a


def langchain(kaizen: Any, many: int = MANY, thinks: float = 0.0) -> Calls:
    """``tool.invoke``; hooked: a callback handler that does nothing."""
    from langchain_core.callbacks import BaseCallbackHandler
    from langchain_core.tools import StructuredTool

    from kaizen_security.integrations.langchain import guard_tool

    tool = StructuredTool.from_function(search)
    guarded = guard_tool(kaizen, tool)
    hooked = tool.model_copy(update={"callbacks": [BaseCallbackHandler()]})
    judged = after(thinks, lambda: guarded.invoke(ARGUMENTS))
    return Calls(lambda: tool.invoke(ARGUMENTS), judged, 1, lambda: hooked.invoke(ARGUMENTS))


def pydantic_ai(kaizen: Any, many: int = MANY, thinks: float = 0.0) -> Calls:
    """A run with ``many`` calls on the framework's own function model; hooked: a capability that does nothing."""
    from pydantic_ai import Agent
    from pydantic_ai.capabilities import AbstractCapability
    from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
    from pydantic_ai.models.function import FunctionModel

    from kaizen_security.integrations.pydantic_ai import KaizenCapability

    async def said(messages: list[Any], info: Any) -> Any:
        if len(messages) > 1:
            return ModelResponse(parts=[TextPart("Done.")])
        if thinks:
            await asyncio.sleep(thinks)
        return ModelResponse(parts=[ToolCallPart("asearch", ARGUMENTS, f"call_{i}") for i in range(many)])

    class Nothing(AbstractCapability[Any]):
        async def wrap_run(self, ctx: Any, *, handler: Any) -> Any:
            return await handler()

        async def wrap_tool_execute(self, ctx: Any, *, call: Any, tool_def: Any, args: Any, handler: Any) -> Any:
            return await handler(args)

    def agent(*capabilities: Any) -> Callable[[], Awaitable[object]]:
        made = Agent(FunctionModel(said), tools=[asearch], capabilities=list(capabilities))
        return lambda: made.run("go")

    return on_a_loop(agent(), agent(KaizenCapability(kaizen)), agent(Nothing()), calls=many)


def openai_agents(kaizen: Any, many: int = MANY, thinks: float = 0.0) -> Calls:
    """``many`` times ``on_invoke_tool`` within one session, as the runner calls it, with the hook before it."""
    from agents import RunHooks, function_tool
    from agents.tool_context import ToolContext

    from kaizen_security.integrations import openai_agents as adapter

    hooks, none = adapter.KaizenHooks(kaizen), RunHooks()
    tool, plain = function_tool(asearch), function_tool(asearch)
    given = json.dumps(ARGUMENTS)
    named = type("Named", (), {"name": "bench"})()
    numbers = itertools.count()

    async def calls(tool: Any, hooks: Any) -> None:
        for _ in range(many):
            ours: Any = ToolContext(
                context=None, tool_name="asearch", tool_call_id=f"call_{next(numbers)}", tool_arguments=given
            )
            if hooks is not None:
                await hooks.on_tool_start(ours, named, tool)
            result = await tool.on_invoke_tool(ours, given)
            if hooks is not None:
                await hooks.on_tool_end(ours, named, tool, result)

    async def judged() -> None:
        with adapter._session(hooks, named, "go") as session, adapter._ending(session):
            if thinks:
                await asyncio.sleep(thinks)
            await calls(tool, hooks)

    return on_a_loop(lambda: calls(plain, None), judged, lambda: calls(plain, none), calls=many)


def claude_agent(kaizen: Any, many: int = MANY, thinks: float = 0.0) -> Calls:
    """What the SDK's hooks of a call do here; what the SDK and Claude Code do around them is not in it."""
    from kaizen_security.integrations.claude_agent import KaizenHooks

    hooks = KaizenHooks(kaizen)
    head = {"session_id": "s", "tool_name": "search", "tool_input": ARGUMENTS}
    numbers = itertools.count()

    async def bare() -> None:
        await asyncio.sleep(0)

    async def judged() -> None:
        id_ = f"toolu_{next(numbers)}"
        await hooks.heard({**head, "hook_event_name": "PreToolUse", "tool_use_id": id_}, id_, None)
        after = {**head, "hook_event_name": "PostToolUse", "tool_use_id": id_, "tool_response": FOUND}
        await hooks.heard(after, id_, None)

    return on_a_loop(bare, judged, thinks=thinks)


def otel(kaizen: Any, many: int = MANY, thinks: float = 0.0) -> Calls:
    """A trace of ``many`` spans of calls; hooked: a processor that does nothing. It observes only, in every mode."""
    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

    from kaizen_security.integrations.otel import KaizenSpanProcessor

    numbers = itertools.count()

    def traced(*processors: Any) -> Callable[[], None]:
        provider = TracerProvider()
        for one in processors:
            provider.add_span_processor(one)
        tracer = provider.get_tracer("bench")

        def go() -> None:
            with tracer.start_as_current_span("agent", attributes={"gen_ai.operation.name": "invoke_agent"}):
                for _ in range(many):
                    about = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}
                    about |= {
                        "gen_ai.tool.call.id": f"call_{next(numbers)}",
                        "gen_ai.tool.call.arguments": json.dumps(ARGUMENTS),
                    }
                    with tracer.start_as_current_span("call", attributes=about) as span:
                        span.set_attribute("gen_ai.tool.call.result", search(**ARGUMENTS))  # type: ignore[arg-type]

        return go

    return Calls(traced(), traced(KaizenSpanProcessor(kaizen)), many, traced(SpanProcessor()))


# --- environment b


def crewai(kaizen: Any, many: int = MANY, thinks: float = 0.0) -> Calls:
    """``tool.run``, with the hooks that an executor calls around it."""
    os.environ.update(CREWAI_DISABLE_TELEMETRY="true", CREWAI_TRACING_ENABLED="false", OTEL_SDK_DISABLED="true")
    from crewai.hooks.tool_hooks import ToolCallHookContext
    from crewai.tools import tool

    from kaizen_security.integrations import crewai as adapter

    made = tool(search)
    structured = made.to_structured_tool()
    adapter.attach(kaizen)

    def judged() -> object:
        given = dict(ARGUMENTS)
        adapter._before(ToolCallHookContext("search", given, structured))
        found = made.run(**given)
        adapter._after(ToolCallHookContext("search", given, structured, tool_result=found, raw_tool_result=found))
        return found

    return Calls(lambda: made.run(**ARGUMENTS), after(thinks, judged))


def llamaindex(kaizen: Any, many: int = MANY, thinks: float = 0.0) -> Calls:
    """``tool.acall``."""
    from llama_index.core.tools import FunctionTool

    from kaizen_security.integrations.llamaindex import guard_tool

    bare, judged = (FunctionTool.from_defaults(async_fn=asearch, name="search") for _ in range(2))
    guard_tool(kaizen, judged)
    return on_a_loop(lambda: bare.acall(**ARGUMENTS), lambda: judged.acall(**ARGUMENTS), thinks=thinks)


def semantic_kernel(kaizen: Any, many: int = MANY, thinks: float = 0.0) -> Calls:
    """``kernel.invoke``; hooked: a filter that does nothing."""
    from semantic_kernel import Kernel
    from semantic_kernel.filters import FilterTypes
    from semantic_kernel.functions import kernel_function

    from kaizen_security.integrations.semantic_kernel import attach

    kernels = [Kernel() for _ in range(3)]
    for kernel in kernels:
        kernel.add_function("tools", kernel_function(name="search")(search))
    attach(kaizen, kernels[1])

    async def nothing(context: Any, next: Callable[[Any], Awaitable[None]]) -> None:  # noqa: A002  # its own name
        await next(context)

    kernels[2].add_filter(FilterTypes.FUNCTION_INVOCATION, nothing)

    def invoke(kernel: Any) -> Callable[[], Awaitable[object]]:
        return lambda: kernel.invoke(plugin_name="tools", function_name="search", **ARGUMENTS)  # type: ignore[no-any-return]

    return on_a_loop(*map(invoke, kernels), thinks=thinks)


def google_adk(kaizen: Any, many: int = MANY, thinks: float = 0.0) -> Calls:
    """A run of the runner with ``many`` calls, on a model that says the same each time; hooked: a plugin that does nothing."""
    from google.adk.agents import LlmAgent
    from google.adk.apps import App
    from google.adk.models.base_llm import BaseLlm
    from google.adk.models.llm_response import LlmResponse
    from google.adk.plugins.base_plugin import BasePlugin
    from google.adk.runners import InMemoryRunner
    from google.genai import types

    from kaizen_security.integrations.google_adk import KaizenPlugin

    class Scripted(BaseLlm):  # type: ignore[misc]  # the framework is not there when types are checked
        async def generate_content_async(self, llm_request: Any, stream: bool = False) -> Any:
            done = any(part.function_response for part in llm_request.contents[-1].parts)
            if thinks and not done:
                await asyncio.sleep(thinks)
            call = types.Part(function_call=types.FunctionCall(name="asearch", args=ARGUMENTS))
            parts = [types.Part(text="Done.")] if done else [call] * many
            yield LlmResponse(content=types.Content(role="model", parts=parts))

    numbers = itertools.count()

    def runner(*plugins: Any) -> Callable[[], Awaitable[object]]:
        agent = LlmAgent(name="bench", model=Scripted(model="none"), tools=[asearch])
        made = InMemoryRunner(app=App(name="bench", root_agent=agent, plugins=list(plugins)))

        async def run() -> None:
            session = await made.session_service.create_session(
                app_name="bench", user_id="u", session_id=str(next(numbers))
            )
            message = types.Content(role="user", parts=[types.Part(text="go")])
            async for _ in made.run_async(user_id="u", session_id=session.id, new_message=message):
                pass
            await made.session_service.delete_session(app_name="bench", user_id="u", session_id=session.id)

        return run

    return on_a_loop(runner(), runner(KaizenPlugin(kaizen)), runner(BasePlugin(name="nothing")), calls=many)


def bedrock(kaizen: Any, many: int = MANY, thinks: float = 0.0) -> Calls:
    """A ``returnControl`` event of ``many`` calls through the stream, and the results that the host sends back."""
    from kaizen_security.integrations import bedrock as adapter
    from kaizen_security.integrations.base import attach_point
    from kaizen_security.testing import bedrock_agents as agents

    attached = adapter._Attached(attach_point(kaizen, adapter.SOURCE), None)
    name, control = agents.wants(*([("search", ARGUMENTS)] * many))
    events = [{name: control}]
    answer = {
        "functionResult": {"actionGroup": "orders", "function": "search", "responseBody": {"TEXT": {"body": FOUND}}}
    }
    state = {"invocationId": "invocation-1", "returnControlInvocationResults": [answer] * many}
    numbers = itertools.count()

    def judged() -> None:
        session = str(next(numbers))
        asked = {"sessionId": session, "inputText": "go"}
        attached.asks("InvokeAgent", asked, {})
        if thinks:
            time.sleep(thinks)
        for _ in adapter._Stream(attached, "InvokeAgent", asked, events, traced=True):
            pass
        attached.asks("InvokeAgent", {"sessionId": session, "sessionState": state}, {})

    return Calls(lambda: list(events), judged, many)


CALLS: dict[str, dict[str, Callable[..., Calls]]] = {
    "a": {
        "langchain": langchain,
        "pydantic_ai": pydantic_ai,
        "openai_agents": openai_agents,
        "claude_agent": claude_agent,
        "otel": otel,
    },
    "b": {
        "crewai": crewai,
        "llamaindex": llamaindex,
        "semantic_kernel": semantic_kernel,
        "google_adk": google_adk,
        "bedrock": bedrock,
    },
}
"""By the environment that has the framework."""
