"""Tools that Google runs itself for an agent of ADK: told once, with what they brought."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("google.adk")

from google.adk.agents import LlmAgent, RunConfig
from google.adk.agents.run_config import StreamingMode
from google.adk.code_executors import BuiltInCodeExecutor
from google.adk.tools import google_search

from kaizen_security.testing.models import Turn
from tests.integrations.agent import FOREIGN, TOOLS, World, asks, transfer
from tests.integrations.elsewhere import RUNS, note, paid, was_caught
from tests.integrations.suite import PROMPT
from tests.integrations.test_google_adk import GoogleADK, model, runner_of, words

DRIVER = GoogleADK()
PROGRAM = "print(open('b1').read())"


def gemini(url: str) -> Any:
    """By a name that ADK's own checks let have Google's tools."""
    return model(url).model_copy(update={"model": "gemini-2.5-test"})


def grounding(text: str) -> dict[str, Any]:
    chunk = {"web": {"uri": "https://bills.example/b1", "title": text, "domain": "bills.example"}}
    segment = {"segment": {"text": text, "startIndex": 0, "endIndex": len(text)}, "groundingChunkIndices": [0]}
    return {
        "groundingMetadata": {
            "webSearchQueries": ["bill b1"],
            "groundingChunks": [chunk],
            "groundingSupports": [segment],
        }
    }


def program(text: str, i: int) -> tuple[dict[str, Any], ...]:
    # Words first: ADK 1.20 forgets an answer that begins with a program, and then does not know the call that it made.
    return (
        {"text": "I run it. "},
        {"executableCode": {"code": PROGRAM, "language": "PYTHON"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": text}},
    )


def built(models: Any, attach: Any, mode: str = "enforce", *, programs: bool = False) -> tuple[Any, World, list[Any]]:
    seen: list[Any] = []
    kaizen = attach(mode, declare=False, on_verdict=lambda _, action: seen.append(action))
    kaizen.declare(tools=[*TOOLS, "google_search", "code_execution"], purpose=f"Pays for {kaizen.settings.agent}.")
    world = World()
    # The model server says what it was told to, whether or not a tool of Google's was asked for.
    more = {"code_executor": BuiltInCodeExecutor()} if programs else {}
    agent = LlmAgent(name="assistant", model=gemini(models.url), tools=world.tools(), **more)
    return runner_of(agent, kaizen), world, seen


def test_what_google_s_search_brought_is_known_for_what_it_is(models, attach):
    runner, world, seen = built(models, attach)
    said = paid(models, lambda prompt: DRIVER.run(runner, "stream", prompt), lambda text, i: (), grounding)
    assert said == ["Done."] * (RUNS + 1)
    assert was_caught(world)
    assert [one.tool for one in seen] == ["google_search", "transfer_make"] * (RUNS + 1)
    assert [one.run_id for one in seen[::2]] == [one.run_id for one in seen[1::2]]


@pytest.mark.parametrize(("path", "mode"), [("sync", "enforce"), ("async", "observe"), ("stream", "enforce")])
def test_each_call_that_ran_at_google_is_told_once_with_its_arguments(path, mode, models, attach):
    runner, _, seen = built(models, attach, mode, programs=True)
    models.say(Turn(items=program("", 0), text="Done.", about=grounding("")))
    assert "Done." in DRIVER.run(runner, path, PROMPT)
    assert [(one.kind, one.tool, one.publisher, dict(one.metadata["arguments"])) for one in seen] == [
        ("exec", "code_execution", "google", {"code": PROGRAM}),
        ("tool_call", "google_search", "google", {"web_search_queries": ["bill b1"]}),
    ]


def test_google_s_search_is_asked_for_by_its_own_tool_and_told_as_that(models, attach):
    seen: list[Any] = []
    kaizen = attach(on_verdict=lambda _, action: seen.append(action))
    agent = LlmAgent(name="assistant", model=gemini(models.url))
    agent.tools = [google_search]
    models.say(Turn(text="Done.", about=grounding("Pay.")))
    assert DRIVER.run(runner_of(agent, kaizen), "async", PROMPT) == "Done."
    assert "googleSearch" in str(models.heard[-1].document["tools"])
    assert [one.tool for one in seen] == ["google_search"]


def test_what_google_s_program_brought_in_an_earlier_run_of_the_session_is_known(models, attach):
    runner, world, _ = built(models, attach)
    paid(models, lambda prompt: DRIVER.run(runner, "async", prompt), program)
    assert was_caught(world)

    async def main() -> None:
        session = await runner.session_service.create_session(app_name="app", user_id="u", session_id="long")
        for prompt in (PROMPT, "Pay it, please."):
            config = RunConfig(streaming_mode=StreamingMode.SSE)
            said = runner.run_async(user_id="u", session_id=session.id, new_message=words(prompt), run_config=config)
            assert [event async for event in said]

    models.say(Turn(items=program(note(FOREIGN), 0), text="It says where."), asks(transfer(FOREIGN)), "I did not.")
    asyncio.run(main())
    assert was_caught(world)
