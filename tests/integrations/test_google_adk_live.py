"""Google ADK's live path, ``run_live``, on a model that is spoken to both ways at once."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager
from typing import Any

import pytest

pytest.importorskip("google.adk")

from google.adk.agents import LiveRequestQueue, LlmAgent, RunConfig
from google.adk.models.base_llm import BaseLlm
from google.adk.models.base_llm_connection import BaseLlmConnection
from google.adk.models.llm_response import LlmResponse
from google.adk.runners import InMemoryRunner
from google.genai import types
from pydantic import Field

from kaizen_security.integrations.google_adk import KaizenPlugin
from tests.integrations.agent import World
from tests.integrations.suite import BLOCKED, PROMPT

BOUND = 60.0
_SESSIONS = itertools.count()


class Conversation(BaseLlmConnection):
    """Says the next turn of its script whenever it is told something."""

    def __init__(self, turns: list[list[types.Part]], heard: list[types.Content]) -> None:
        self.turns, self.heard = turns, heard
        self.told: asyncio.Queue[types.Content | None] = asyncio.Queue()

    async def send_history(self, history: list[types.Content]) -> None:
        pass

    async def send_content(self, content: types.Content) -> None:
        self.heard.append(content)
        await self.told.put(content)

    async def send_realtime(self, blob: Any) -> None:
        pass

    async def receive(self) -> Any:
        while (await self.told.get()) is not None:
            if self.turns:
                yield LlmResponse(content=types.Content(role="model", parts=self.turns.pop(0)))
                yield LlmResponse(turn_complete=True)

    async def close(self) -> None:
        await self.told.put(None)


class Live(BaseLlm):
    """A model that is only spoken to live."""

    turns: list[Any] = Field(default_factory=list)
    heard: list[Any] = Field(default_factory=list)

    async def generate_content_async(self, llm_request: Any, stream: bool = False) -> Any:
        raise NotImplementedError
        yield

    @asynccontextmanager
    async def connect(self, llm_request: Any) -> Any:
        yield Conversation(self.turns, self.heard)


def call(tool: str, **args: Any) -> types.Part:
    return types.Part(function_call=types.FunctionCall(name=tool, args=args, id=f"call-{tool}"))


def live(tools: list[Any], kaizen: Any, *turns: list[types.Part], until: str = "Done.") -> list[str]:
    """A conversation until the agent says ``until``; what the model was told in it, as text."""
    model = Live(model="live-test")
    model.turns, model.heard = list(turns), []
    agent = LlmAgent(name="assistant", model=model, tools=tools)
    runner = InMemoryRunner(agent=agent, app_name="app", plugins=[KaizenPlugin(kaizen)])

    async def main() -> None:
        session = await runner.session_service.create_session(
            app_name="app", user_id="u", session_id=f"s{next(_SESSIONS)}"
        )
        queue = LiveRequestQueue()
        queue.send_content(types.Content(role="user", parts=[types.Part(text=PROMPT)]))
        going = runner.run_live(
            user_id="u",
            session_id=session.id,
            live_request_queue=queue,
            run_config=RunConfig(response_modalities=["TEXT"]),
        )
        async for event in going:
            parts = event.content.parts if event.content and event.content.parts else []
            if any(part.text and until in part.text for part in parts):
                queue.close()
                break
        await going.aclose()

    asyncio.run(asyncio.wait_for(main(), BOUND))
    return [str(part.function_response or part.text) for told in model.heard for part in told.parts or ()]


def test_a_blocked_tool_does_not_run_in_a_live_conversation_and_an_allowed_one_does(attach):
    world, seen = World(), []
    kaizen = attach(on_verdict=lambda _, action: seen.append(action))
    done = [types.Part(text="Done.")]
    told = live(world.tools(), kaizen, [call("wipe", path="/srv")], [call("bill_read", bill="b1")], done)
    assert world.names == ["bill_read"]
    assert [BLOCKED in one for one in told] == [False, True, False]
    assert [action.tool for action in seen] == ["wipe", "bill_read"]
    assert len({action.run_id for action in seen}) == 1
    assert kaizen.flush(BOUND)
    assert kaizen.lost == {}


def test_a_tool_that_streams_its_results_into_the_conversation_is_judged_before_its_first_one(attach):
    ran = []

    async def watch(path: str) -> Any:
        """Watch a file.

        Args:
            path: Which.
        """
        for i in range(2):
            ran.append(path)
            yield f"{path} has changed {i}"

    done = [types.Part(text="Done.")]
    pending: list[types.Part] = [types.Part(text="I watch.")]
    told = live([watch], attach(), [call("watch", path="/srv")], pending, done)
    assert ran == []
    assert any(BLOCKED in one for one in told)
    kaizen = attach(declare=False)
    kaizen.declare(tools=["watch"])
    told = live([watch], kaizen, [call("watch", path="/srv")], pending, done)
    assert "/srv has changed 0" in "\n".join(told)
    assert ran[:1] == ["/srv"]


def test_observe_reports_what_a_live_conversation_does(attach):
    world = World()
    kaizen = attach("observe")
    live(world.tools(), kaizen, [call("wipe", path="/srv")], [types.Part(text="Done.")])
    assert world.names == ["wipe"]
    assert kaizen.flush(BOUND)
    assert kaizen.lost == {}
