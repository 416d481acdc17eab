"""``import kaizen_security.auto``: what the host imports is attached to, and nothing else is imported."""

from __future__ import annotations

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
}
BEFORE = """
import sys
import kaizen_security.auto
heavy = set(sys.modules) & {"agents", "langchain_core", "pydantic_ai", "crewai", "asyncio"}
assert not heavy, heavy
URL = sys.argv[1]
def wipe(path: str) -> str:
    "Delete it."
    print("RAN")
    return "gone"
"""


@pytest.mark.parametrize("module", sorted(AGENT))
def test_an_agent_that_knows_nothing_of_kaizen_is_judged(module, models, sidecars, tmp_path):
    from kaizen_security.testing.models import Call, Turn

    sidecar = sidecars("enforce")
    name = f"auto-{module}"
    sidecar.ask("POST", f"/v1/agents/{name}/manifest", {"tools": ["read"]})
    models.say(Turn(calls=(Call(tool="wipe", arguments={"path": "/"}),)), "I could not.")
    settings = {"KAIZEN_SIDECAR": f"unix://{sidecar.socket}", "KAIZEN_AGENT": name, "KAIZEN_DATA": str(tmp_path)}
    environment = {**os.environ, **settings, "KAIZEN_DEADLINE": "10"}
    code = BEFORE + AGENT[module] + f"\nassert kaizen_security.auto.attached == {{{ADAPTERS[module]!r}: 'attached'}}"
    done = subprocess.run(
        [sys.executable, "-c", code, models.url], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "I could not."


ADAPTERS = {"agents": "openai_agents", "langchain_core": "langchain", "pydantic_ai": "pydantic_ai"}


def test_settings_that_cannot_be_used_leave_the_host_as_it_was(tmp_path):
    code = BEFORE + "import agents\nprint(kaizen_security.auto.attached)"
    environment = {**os.environ, "KAIZEN_MODE": "sideways", "KAIZEN_DATA": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code, ""], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "Misconfigured" in done.stdout
    assert "kaizen is not attached to openai_agents" in done.stderr
