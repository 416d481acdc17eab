"""The calls of the frameworks in environment b, each with and without its adapter, for ``python -m benchmarks.integrations``."""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Awaitable, Callable
from typing import Any

ARGUMENTS = {"query": "orders of the last week", "limit": 20}
FOUND = "42 orders, of which 3 are open; the oldest is of Monday. " * 8
Pair = tuple[Callable[[], object], Callable[[], object]]


def search(query: str, limit: int = 10) -> str:
    """Look for orders."""
    return FOUND


def on_a_loop(bare: Callable[[], Awaitable[object]], judged: Callable[[], Awaitable[object]]) -> Pair:
    """Both on one event loop."""
    loop = asyncio.new_event_loop()
    return lambda: loop.run_until_complete(bare()), lambda: loop.run_until_complete(judged())


def crewai(kaizen: Any) -> Pair:
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

    return lambda: made.run(**ARGUMENTS), judged


def llamaindex(kaizen: Any) -> Pair:
    """``tool.acall``."""
    from llama_index.core.tools import FunctionTool

    from kaizen_security.integrations.llamaindex import guard_tool

    async def asearch(query: str, limit: int = 10) -> str:
        """Look for orders."""
        return FOUND

    bare, judged = (FunctionTool.from_defaults(async_fn=asearch, name="search") for _ in range(2))
    guard_tool(kaizen, judged)
    return on_a_loop(lambda: bare.acall(**ARGUMENTS), lambda: judged.acall(**ARGUMENTS))


def semantic_kernel(kaizen: Any) -> Pair:
    """``kernel.invoke``."""
    from semantic_kernel import Kernel
    from semantic_kernel.functions import kernel_function

    from kaizen_security.integrations.semantic_kernel import attach

    kernels = []
    for _ in range(2):
        kernel = Kernel()
        kernel.add_function("tools", kernel_function(name="search")(search))
        kernels.append(kernel)
    attach(kaizen, kernels[1])

    def invoke(kernel: Any) -> Awaitable[object]:
        found: Awaitable[object] = kernel.invoke(plugin_name="tools", function_name="search", **ARGUMENTS)
        return found

    return on_a_loop(lambda: invoke(kernels[0]), lambda: invoke(kernels[1]))


def google_adk(kaizen: Any) -> Pair:
    """A whole run of the runner with one call, on a model of the framework's own kind that says the same each time."""
    from google.adk.agents import LlmAgent
    from google.adk.apps import App
    from google.adk.models.base_llm import BaseLlm
    from google.adk.models.llm_response import LlmResponse
    from google.adk.runners import InMemoryRunner
    from google.genai import types

    from kaizen_security.integrations.google_adk import KaizenPlugin

    class Scripted(BaseLlm):  # type: ignore[misc]  # the framework is not there when types are checked
        async def generate_content_async(self, llm_request: Any, stream: bool = False) -> Any:
            done = any(part.function_response for part in llm_request.contents[-1].parts)
            call = types.Part(function_call=types.FunctionCall(name="search", args=ARGUMENTS))
            part = types.Part(text="Done.") if done else call
            yield LlmResponse(content=types.Content(role="model", parts=[part]))

    numbers = itertools.count()

    def runner(*plugins: Any) -> Any:
        agent = LlmAgent(name="bench", model=Scripted(model="none"), tools=[search])
        return InMemoryRunner(app=App(name="bench", root_agent=agent, plugins=list(plugins)))

    async def run(runner: Any) -> None:
        session = await runner.session_service.create_session(
            app_name="bench", user_id="u", session_id=str(next(numbers))
        )
        message = types.Content(role="user", parts=[types.Part(text="go")])
        async for _ in runner.run_async(user_id="u", session_id=session.id, new_message=message):
            pass

    bare, judged = runner(), runner(KaizenPlugin(kaizen))
    return on_a_loop(lambda: run(bare), lambda: run(judged))


def bedrock(kaizen: Any) -> Pair:
    """One ``returnControl`` event through the stream, and the result that the host sends back."""
    from kaizen_security.integrations import bedrock as adapter
    from kaizen_security.integrations.base import attach_point
    from kaizen_security.testing import bedrock_agents as agents

    attached = adapter._Attached(attach_point(kaizen, adapter.SOURCE), None)
    name, control = agents.wants(("search", ARGUMENTS))
    events = [{name: control}]
    answer = {
        "functionResult": {"actionGroup": "orders", "function": "search", "responseBody": {"TEXT": {"body": FOUND}}}
    }
    state = {"invocationId": "invocation-1", "returnControlInvocationResults": [answer]}
    numbers = itertools.count()

    def judged() -> None:
        session = str(next(numbers))
        asked = {"sessionId": session, "inputText": "go"}
        attached.asks("InvokeAgent", asked, {})
        for _ in adapter._Stream(attached, "InvokeAgent", asked, events, traced=True):
            pass
        attached.asks("InvokeAgent", {"sessionId": session, "sessionState": state}, {})

    return lambda: list(events), judged


CALLS: dict[str, Callable[[Any], Pair]] = {
    "crewai": crewai,
    "llamaindex": llamaindex,
    "semantic_kernel": semantic_kernel,
    "google_adk": google_adk,
    "bedrock": bedrock,
}
