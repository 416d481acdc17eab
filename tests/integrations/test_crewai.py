"""CrewAI: crews on their own executor, with its own client of OpenAI's chat completions."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any

import pytest

os.environ.update(CREWAI_DISABLE_TELEMETRY="true", CREWAI_TRACING_ENABLED="false", OTEL_SDK_DISABLED="true")
pytest.importorskip("crewai")

from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool

from kaizen_security.integrations import crewai
from kaizen_security.testing.models import Late
from tests.integrations import chat
from tests.integrations.agent import World, asks, read
from tests.integrations.suite import Suite


def model(url: str) -> LLM:
    return LLM(model="openai/gpt-4o-mini", base_url=f"{url}/v1", api_key="none")


class CrewAI:
    """``kickoff``, ``kickoff_async``, and ``kickoff`` of a crew that streams."""

    name = "CrewAI"
    package = "crewai"
    paths = ("sync", "async", "stream")

    def build(self, url: str, tools: list[Any], kaizen: Any) -> Agent:
        if kaizen is not None:
            crewai.attach(kaizen)
        made = [tool(one) for one in tools]
        return Agent(role="assistant", goal="help", backstory="none", llm=model(url), tools=made, cache=False)

    def crew(self, agent: Agent, prompt: str, **more: Any) -> Crew:
        agent = agent.copy()  # an agent does one thing at a time
        task = Task(description=prompt, expected_output="the answer", agent=agent)
        return Crew(agents=[agent], tasks=[task], cache=False, **more)

    def run(self, agent: Agent, path: str, prompt: str) -> str:
        if path == "sync":
            return str(self.crew(agent, prompt).kickoff())
        if path == "async":
            return asyncio.run(self.arun(agent, prompt))
        streaming = self.crew(agent, prompt, stream=True).kickoff()
        for _ in streaming:
            pass
        return str(streaming.result)

    async def arun(self, agent: Agent, prompt: str) -> str:
        return str(await self.crew(agent, prompt).kickoff_async())

    def results(self, body: dict[str, Any]) -> list[str]:
        return chat.results(body)

    def schemas(self, body: dict[str, Any]) -> Any:
        return body["tools"]


@pytest.fixture(autouse=True)
def _detached():
    yield
    while crewai._ATTACHED:
        crewai._ATTACHED[0].detach()


class TestCrewAI(Suite):
    driver = CrewAI()

    @pytest.mark.shows("async")
    def test_a_cancelled_run_leaves_nothing_behind(self, models, attach):
        """CrewAI works in a thread, which goes on when nobody waits for it any more; its run ends all the same."""
        kaizen = attach()
        late = Late(until=threading.Event())
        models.say(asks(read()), late)
        agent = self.driver.build(models.url, World().tools(), kaizen)

        async def main() -> None:
            task = asyncio.create_task(self.driver.crew(agent, "Look at bill b1.").kickoff_async())
            while len(models.heard) < 2:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            late.until.set()

        asyncio.run(main())
        assert kaizen.current_run == ""
        assert kaizen.flush()
        assert kaizen.lost == {}
