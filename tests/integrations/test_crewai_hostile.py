"""Ways around CrewAI's tools: results that it kept, agents without a crew, hand-overs, bodies that call tools, calls as text."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest

os.environ.update(CREWAI_DISABLE_TELEMETRY="true", CREWAI_TRACING_ENABLED="false", OTEL_SDK_DISABLED="true")
pytest.importorskip("crewai")

from crewai import Agent, Crew, Process, Task
from crewai.flow.flow import Flow, start
from crewai.tools import BaseTool, tool

from kaizen_security import KaizenBlocked
from kaizen_security.integrations import crewai
from kaizen_security.testing.models import Call
from tests.integrations.agent import World, asks, read, wipe
from tests.integrations.suite import BLOCKED, PROMPT
from tests.integrations.test_crewai import CrewAI, model

DRIVER = CrewAI()
HANDED = Call(
    tool="delegate_work_to_coworker",
    arguments={"task": "wipe it", "context": "none", "coworker": "helper"},
    id="call_h",
)


@pytest.fixture(autouse=True)
def _detached():
    yield
    while crewai._ATTACHED:
        crewai._ATTACHED[0].detach()


def agent_of(url: str, tools: list[Any], role: str = "assistant", **more: Any) -> Agent:
    return Agent(role=role, goal="help", backstory="none", llm=model(url), tools=tools, **more)


def task_of(agent: Agent | None, **more: Any) -> Task:
    return Task(description=PROMPT, expected_output="the answer", agent=agent, **more)


def heard(models: Any) -> str:
    return str(models.heard[-1].document)


@pytest.mark.parametrize("text", [False, True], ids=["native", "text"])
def test_what_crewai_kept_of_an_earlier_call_is_not_given_to_a_model_that_may_not_call_it_now(text, models, attach):
    world, kaizen = World(), attach()
    crewai.attach(kaizen)
    kaizen.declare(tools=["wipe"])
    agent = agent_of(models.url, [tool(world.tools()[2])], cache=True)
    if text:
        object.__setattr__(agent.llm, "supports_function_calling", lambda: False)
    crew = Crew(agents=[agent], tasks=[task_of(agent)], cache=True)
    once = 'Thought: hm\nAction: wipe\nAction Input: {"path": "/srv"}' if text else asks(wipe())
    done = "Thought: well\nFinal Answer: Done." if text else "Done."
    for _ in range(2):  # the second time from what was kept, where this way of calling keeps anything
        models.say(once, done)
        assert str(crew.kickoff()) == "Done."
    ran = list(world.ran)
    assert len(ran) == 1
    kaizen.declare(tools=["bill_read"])
    models.say(once, done)
    assert str(crew.kickoff()) == "Done."
    assert world.ran == ran
    assert BLOCKED in heard(models)
    assert "'content': 'gone'" not in heard(models)


@pytest.mark.parametrize("way", ["kickoff", "kickoff_async", "akickoff"])
def test_an_agent_that_runs_without_a_crew(way, models, attach):
    world = World()
    crewai.attach(attach())
    agent = agent_of(models.url, [tool(one) for one in world.tools()])
    if not hasattr(agent, way):
        pytest.skip("this version has no such way")
    models.say(asks(read(), wipe()), "Done.")
    found = getattr(agent, way)(PROMPT)
    if way != "kickoff":
        found = asyncio.run(found)
    assert "Done." in str(found.raw)
    assert world.names == ["bill_read"]
    assert BLOCKED in heard(models)


def test_a_tool_that_is_a_coroutine_in_a_crew_that_is_awaited(models, attach):
    world = World()
    crewai.attach(attach())

    class Wipe(BaseTool):
        name: str = "wipe"
        description: str = "Delete."

        def _run(self, path: str) -> str:
            world.ran.append(("wipe", (path,)))
            return "gone"

        async def _arun(self, path: str) -> str:
            return self._run(path)

    agent = agent_of(models.url, [Wipe()])
    crew = Crew(agents=[agent], tasks=[task_of(agent, async_execution=True)])
    models.say(asks(wipe()), "Done.")
    assert str(asyncio.run(crew.akickoff())) == "Done."
    assert world.ran == []
    assert BLOCKED in heard(models)


def test_a_chain_of_hand_overs_ends_where_nobody_may_call_it(models, attach):
    world, seen = World(), []
    kaizen = attach(declare=False, on_verdict=lambda verdict, action: seen.append((action.tool, verdict.blocked)))
    kaizen.named("helper").declare(tools=["bill_read"])
    crewai.attach(kaizen)
    tools = [tool(one) for one in world.tools()]
    helper = agent_of(models.url, tools, "helper")
    crew = Crew(
        agents=[helper], tasks=[task_of(None)], process=Process.hierarchical, manager_llm=model(models.url), cache=False
    )
    models.say(asks(HANDED), asks(wipe()), "I could not.", "Done.")
    assert str(crew.kickoff()) == "Done."
    assert seen == [("wipe", True)]
    assert world.ran == []


def test_a_guarded_tool_that_another_tool_s_body_or_a_flow_calls_is_judged_too(models, attach):
    world, kaizen = World(), attach()
    crewai.attach(kaizen)
    wiping = crewai.guard_tool(kaizen, tool(world.tools()[2]))

    @tool
    def bill_read(bill: str) -> str:
        """Read a bill."""
        return str(wiping.run(path=bill))

    models.say(asks(read()), "Done.")
    assert DRIVER.run(agent_of(models.url, [bill_read], cache=False), "sync", PROMPT) == "Done."
    assert world.ran == []

    class Cleaning(Flow):  # type: ignore[type-arg]
        @start()
        def clean(self) -> str:
            return str(wiping.run(path="/"))

    with pytest.raises(KaizenBlocked, match="undeclared"):
        Cleaning().kickoff()
    assert world.ran == []


def test_a_blocked_call_as_text_is_not_tried_again_behind_our_back(models, attach):
    """CrewAI tries what fails up to three times by itself."""
    world, seen = World(), []
    crewai.attach(attach(on_verdict=lambda _, action: seen.append(action.tool)))
    agent = agent_of(models.url, [tool(one) for one in world.tools()])
    object.__setattr__(agent.llm, "supports_function_calling", lambda: False)
    models.say(
        'Thought: hm\nAction: fail\nAction Input: {"bill": "b0"}',
        'Thought: hm\nAction: wipe\nAction Input: {"path": "/"}',
        # Spelled in another way it is the same tool.
        'Thought: hm\nAction: Wipe \nAction Input: {"path": "/"}',
        "Thought: well\nFinal Answer: I could not.",
    )
    assert str(DRIVER.crew(agent, PROMPT).kickoff()) == "I could not."
    assert "wipe" not in world.names
    assert seen.count("wipe") >= 1


def test_a_guardrail_that_sends_the_task_back_does_not_let_it_through(models, attach):
    world = World()
    crewai.attach(attach())
    agent = agent_of(models.url, [tool(one) for one in world.tools()], cache=False)
    tries: list[str] = []

    def again(output):
        tries.append(output.raw)
        return (len(tries) > 1, output.raw if len(tries) > 1 else "Try again.")

    crew = Crew(agents=[agent], tasks=[task_of(agent, guardrail=again)], cache=False)
    models.say(asks(wipe(id="call_a")), "First.", asks(wipe(id="call_b")), "Second.")
    assert str(crew.kickoff()) == "Second."
    assert tries == ["First.", "Second."]
    assert world.ran == []
