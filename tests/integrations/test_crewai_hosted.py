"""Tools that OpenAI runs itself for CrewAI's client of its responses: told once, with what they brought."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("crewai")

from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool

from kaizen_security.integrations import crewai
from kaizen_security.testing.models import Turn
from tests.integrations.agent import TOOLS, World
from tests.integrations.elsewhere import RUNS, paid, was_caught
from tests.integrations.suite import PROMPT
from tests.integrations.test_crewai import CrewAI, _detached  # noqa: F401  # a fixture

DRIVER = CrewAI()


def searched(text: str, i: int) -> tuple[dict[str, Any], ...]:
    results = [{"file_id": "f1", "filename": "b1.txt", "score": 0.9, "text": text}]
    return (
        {"type": "file_search_call", "id": f"fs_{i}", "status": "completed", "queries": ["b1"], "results": results},
    )


def model(url: str, **more: Any) -> LLM:
    return LLM(
        model="openai/gpt-4o-mini",
        base_url=f"{url}/v1",
        api_key="none",
        api="responses",
        builtin_tools=["file_search"],
        **more,
    )


def built(models: Any, attach: Any, mode: str, **more: Any) -> tuple[Agent, World, list[Any]]:
    seen: list[Any] = []
    kaizen = attach(mode, declare=False, on_verdict=lambda _, action: seen.append(action))
    kaizen.declare(tools=[*TOOLS, "file_search"], purpose=f"Pays the bills of {kaizen.settings.agent}.")
    world = World()
    crewai.attach(kaizen)
    made = [tool(one) for one in world.tools()]
    llm = model(models.url, **more)
    agent = Agent(role="assistant", goal="help", backstory="none", llm=llm, tools=made, cache=False)
    return agent, world, seen


@pytest.mark.parametrize(("path", "mode"), [("sync", "enforce"), ("async", "observe"), ("stream", "enforce")])
def test_each_call_that_ran_at_openai_is_told_once_with_its_arguments(path, mode, models, attach):
    agent, _, seen = built(models, attach, mode, **({"stream": True} if path == "stream" else {}))
    models.say(Turn(items=searched("", 0), text="Done."))
    models.otherwise = Turn(text="Done.")
    assert "Done." in DRIVER.run(agent, path, PROMPT)
    assert [(one.tool, one.publisher, one.act_id) for one in seen] == [("file_search", "openai", "fs_0")]
    assert seen[0].metadata["arguments"] == {"queries": ["b1"]}
    assert seen[0].run_id


def test_what_openai_s_own_search_brought_is_known_for_what_it_is(models, attach):
    agent, world, seen = built(models, attach, "enforce")
    paid(models, lambda prompt: DRIVER.run(agent, "sync", prompt), searched)
    assert was_caught(world)
    assert [one.tool for one in seen] == ["file_search", "transfer_make"] * (RUNS + 1)
    assert [one.run_id for one in seen[::2]] == [one.run_id for one in seen[1::2]]


def test_in_a_crew_of_several_it_is_told_as_the_one_s_whose_model_was_asked(models, attach, monkeypatch, tmp_path):
    # CrewAI keeps what tasks gave in a file of the user's, which one version writes and another one cannot read.
    monkeypatch.setenv("CREWAI_STORAGE_DIR", str(tmp_path))
    agent, _, seen = built(models, attach, "observe")
    other = Agent(role="clerk", goal="help", backstory="none", llm=model(models.url), cache=False)
    tasks = [Task(description=PROMPT, expected_output="the answer", agent=one) for one in (agent, other)]
    models.say("Done.", Turn(items=searched("", 0), text="Done."))
    asyncio.run(Crew(agents=[agent, other], tasks=tasks, cache=False).akickoff())
    (told,) = [one for one in seen if one.tool == "file_search"]
    assert told.agent.endswith("/clerk")
