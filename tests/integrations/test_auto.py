"""``import kaizen_security.auto``: what the host imports is attached to, and nothing else is imported."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

AGENT = {
    "agents": """
from agents import Agent, Runner, function_tool, OpenAIResponsesModel, set_tracing_disabled
from openai import AsyncOpenAI
set_tracing_disabled(True)
model = OpenAIResponsesModel("m", AsyncOpenAI(base_url=URL + "/v1", api_key="none"))
print(Runner.run_sync(Agent(name="a", model=model, tools=[function_tool(wipe)]), "Clean up.").final_output)
""",
    "langchain_core": """
from langchain.agents import create_agent
from langchain_openai import ChatOpenAI
agent = create_agent(ChatOpenAI(model="m", base_url=URL + "/v1", api_key="none"), [wipe])
print(agent.invoke({"messages": [("user", "Clean up.")]})["messages"][-1].content)
""",
    "pydantic_ai": """
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
model = OpenAIChatModel("m", provider=OpenAIProvider(base_url=URL + "/v1", api_key="none"))
print(Agent(model, tools=[wipe]).run_sync("Clean up.").output)
""",
    "crewai": """
import os
os.environ.update(CREWAI_DISABLE_TELEMETRY="true", CREWAI_TRACING_ENABLED="false", OTEL_SDK_DISABLED="true")
from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool
model = LLM(model="openai/m", base_url=URL + "/v1", api_key="none")
agent = Agent(role="a", goal="g", backstory="b", llm=model, tools=[tool(wipe)])
print(Crew(agents=[agent], tasks=[Task(description="Clean up.", expected_output="x", agent=agent)]).kickoff())
""",
    "google.adk": """
import asyncio, os
os.environ.update(GOOGLE_API_KEY="none", GOOGLE_GEMINI_BASE_URL=URL)
from google.adk.agents import LlmAgent
from google.adk.runners import InMemoryRunner
async def main():
    runner = InMemoryRunner(agent=LlmAgent(name="a", model="gemini-m", tools=[wipe]), app_name="x")
    events = await runner.run_debug("Clean up.", quiet=True)
    print(events[-1].content.parts[0].text)
asyncio.run(main())
""",
    "llama_index.core": """
import asyncio
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.llms.openai import OpenAI
async def main():
    model = OpenAI(model="gpt-4o-mini", api_base=URL + "/v1", api_key="none")
    print(await FunctionAgent(tools=[wipe], llm=model).run(user_msg="Clean up."))
asyncio.run(main())
""",
    "semantic_kernel": """
import asyncio
from openai import AsyncOpenAI
from semantic_kernel.agents import ChatCompletionAgent
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion
from semantic_kernel.functions import kernel_function
class Tools:
    wipe = staticmethod(kernel_function(wipe))
async def main():
    service = OpenAIChatCompletion(ai_model_id="m", async_client=AsyncOpenAI(base_url=URL + "/v1", api_key="none"))
    print(await ChatCompletionAgent(name="a", service=service, plugins=[Tools()]).get_response(messages="Clean up."))
asyncio.run(main())
""",
}
ADAPTERS = {
    "agents": "openai_agents",
    "langchain_core": "langchain",
    "pydantic_ai": "pydantic_ai",
    "crewai": "crewai",
    "google.adk": "google_adk",
    "llama_index.core": "llamaindex",
    "semantic_kernel": "semantic_kernel",
}
NAMES = {"semantic_kernel": "Tools-wipe"}
"""What the model calls the tool, where the framework puts something before it."""
BEFORE = """
import sys
import kaizen_security.auto
frameworks = {"agents", "langchain_core", "pydantic_ai", "crewai", "google.adk", "llama_index.core", "semantic_kernel"}
heavy = set(sys.modules) & {*frameworks, "asyncio"}
assert not heavy, heavy
URL = sys.argv[1]
def wipe(path: str) -> str:
    "Delete it."
    print("RAN")
    return "gone"
"""


def here(module: str) -> bool:
    """Whether this environment has it, and what its agent needs."""
    if module == "langchain_core" and importlib.util.find_spec("langchain") is None:
        return False
    top, _, rest = module.partition(".")
    return importlib.util.find_spec(top) is not None and (not rest or importlib.util.find_spec(module) is not None)


@pytest.mark.parametrize("module", sorted(filter(here, AGENT)))
def test_an_agent_that_knows_nothing_of_kaizen_is_judged(module, models, sidecars, tmp_path):
    from kaizen_security.testing.models import Call, Turn

    sidecar = sidecars("enforce")
    name = f"auto-{module}"
    sidecar.ask("POST", f"/v1/agents/{name}/manifest", {"tools": ["read"]})
    models.say(Turn(calls=(Call(tool=NAMES.get(module, "wipe"), arguments={"path": "/"}),)), "I could not.")
    settings = {"KAIZEN_SIDECAR": f"unix://{sidecar.socket}", "KAIZEN_AGENT": name, "KAIZEN_DATA": str(tmp_path)}
    environment = {**os.environ, **settings, "KAIZEN_DEADLINE": "10"}
    code = BEFORE + AGENT[module] + f"\nassert kaizen_security.auto.attached[{ADAPTERS[module]!r}] == 'attached'"
    done = subprocess.run(
        [sys.executable, "-c", code, models.url], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "I could not." in done.stdout
    assert "RAN" not in done.stdout


@pytest.mark.skipif(not here("agents"), reason="the OpenAI Agents SDK is in another environment")
def test_settings_that_cannot_be_used_leave_the_host_as_it_was(tmp_path):
    code = BEFORE + "import agents\nprint(kaizen_security.auto.attached)"
    environment = {**os.environ, "KAIZEN_MODE": "sideways", "KAIZEN_DATA": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code, ""], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "Misconfigured" in done.stdout
    assert "kaizen is not attached to openai_agents" in done.stderr
