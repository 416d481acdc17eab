"""Several attachments at once, on the real runners: one act is told once, by the one that stands furthest out."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("agents")
pytest.importorskip("langchain_core")
pytest.importorskip("pydantic_ai")
pytest.importorskip("opentelemetry.sdk")

from agents import Agent, Runner, function_tool
from agents.tool_context import ToolContext
from langchain_core.tools import StructuredTool
from opentelemetry.sdk.trace import TracerProvider
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai import RunContext
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from kaizen_security.integrations.langchain import guard_tool
from kaizen_security.integrations.openai_agents import KaizenHooks
from kaizen_security.integrations.otel import KaizenSpanProcessor
from kaizen_security.integrations.pydantic_ai import KaizenCapability
from tests.integrations.agent import asks, read
from tests.integrations.suite import PROMPT
from tests.integrations.test_openai_agents import OpenAIAgents


class Everything:
    """A tool whose body goes through LangChain's, which goes through a guarded function; and a span of the call is written."""

    def __init__(self, kaizen: Any) -> None:
        self.ran: list[str] = []

        @kaizen.guard
        def bill_read(bill: str) -> str:
            """Read a bill."""
            self.ran.append(bill)
            return "Please pay 42.00."

        self.inner = guard_tool(kaizen, StructuredTool.from_function(bill_read))
        provider = TracerProvider()
        provider.add_span_processor(KaizenSpanProcessor(kaizen))
        self.tracer = provider.get_tracer("host")

    def called(self, bill: str, call_id: str) -> str:
        about = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "bill_read",
            "gen_ai.tool.call.id": call_id,
        }
        with self.tracer.start_as_current_span("execute_tool bill_read", attributes=about):
            return str(self.inner.invoke({"bill": bill}))


@pytest.fixture
def told(attach, mode):
    """A client, and the feeds and arguments of what it told, in order."""
    found: list[tuple[str, Any]] = []

    def heard(verdict: Any, action: Any) -> None:
        found.append((action.source, action.metadata.get("arguments")))

    return attach(mode, on_verdict=heard), found


@pytest.mark.parametrize("mode", ["observe", "enforce"])
@pytest.mark.parametrize("other", [False, True])
def test_openai_agents_around_langchain_around_a_guard_with_a_trace_beside(models, told, other):
    kaizen, found = told
    world = Everything(kaizen)

    @function_tool
    def bill_read(context: ToolContext[Any], bill: str) -> str:
        """Read a bill."""
        return world.called("b2" if other else bill, context.tool_call_id)

    agent = Agent(name="assistant", model=OpenAIAgents().model(models.url), tools=[bill_read])
    models.say(asks(read()), "Done.")
    assert Runner.run_sync(agent, PROMPT, hooks=KaizenHooks(kaizen)).final_output == "Done."
    # What is done with something else than the model asked for is another act, told by the next one further in.
    inner = [("langchain", {"bill": "b2"})] if other else []
    assert found == [("openai-agents", {"bill": "b1"}), *inner]
    assert world.ran == ["b2" if other else "b1"]


@pytest.mark.parametrize("mode", ["observe", "enforce"])
def test_pydantic_ai_around_langchain_around_a_guard_with_a_trace_beside(models, told):
    kaizen, found = told
    world = Everything(kaizen)

    def bill_read(context: RunContext[None], bill: str) -> str:
        """Read a bill."""
        return world.called(bill, str(context.tool_call_id))

    model = OpenAIChatModel("gpt-test", provider=OpenAIProvider(base_url=f"{models.url}/v1", api_key="none"))
    agent = PydanticAgent(model, tools=[bill_read], capabilities=[KaizenCapability(kaizen)])
    models.say(asks(read()), "Done.")
    assert agent.run_sync(PROMPT).output == "Done."
    assert found == [("pydantic-ai", {"bill": "b1"})]
    assert world.ran == ["b1"]
