"""Google ADK on its own runner, against a model server that speaks Gemini."""

from __future__ import annotations

import asyncio
import itertools
import os
from typing import Any

import pytest

pytest.importorskip("google.adk")

from google.adk.agents import LlmAgent, RunConfig
from google.adk.agents.run_config import StreamingMode
from google.adk.models.google_llm import Gemini
from google.adk.runners import InMemoryRunner
from google.genai import types

from kaizen_security.integrations.google_adk import KaizenPlugin
from tests.integrations.suite import Suite

_SESSIONS = itertools.count()


def model(url: str) -> Gemini:
    os.environ["GOOGLE_API_KEY"] = "none"
    os.environ["GOOGLE_GEMINI_BASE_URL"] = url  # read when the client is made, at the first turn
    return Gemini(model="gemini-test")


def runner_of(agent: Any, kaizen: Any, *plugins: Any, **settings: Any) -> InMemoryRunner:
    ours = [] if kaizen is None else [KaizenPlugin(kaizen, **settings)]
    return InMemoryRunner(agent=agent, app_name="app", plugins=[*ours, *plugins])


def words(text: str) -> types.Content:
    return types.Content(role="user", parts=[types.Part(text=text)])


async def events(runner: InMemoryRunner, prompt: str, config: RunConfig | None = None) -> list[Any]:
    session = await runner.session_service.create_session(app_name="app", user_id="u", session_id=f"s{next(_SESSIONS)}")
    asked = runner.run_async(user_id="u", session_id=session.id, new_message=words(prompt), run_config=config)
    return [event async for event in asked]


def said(found: list[Any]) -> str:
    return "".join(
        part.text or "" for event in found if event.content and not event.partial for part in event.content.parts or ()
    )


class GoogleADK:
    """``run``, ``run_async``, and ``run_async`` with server-sent events."""

    name = "Google ADK"
    package = "google-adk"
    paths = ("sync", "async", "stream")

    def build(self, url: str, tools: list[Any], kaizen: Any) -> InMemoryRunner:
        return runner_of(LlmAgent(name="assistant", model=model(url), tools=tools), kaizen)

    def run(self, runner: InMemoryRunner, path: str, prompt: str) -> str:
        if path == "sync":
            made = runner.session_service.create_session(app_name="app", user_id="u", session_id=f"s{next(_SESSIONS)}")
            session = asyncio.run(made)
            return said(list(runner.run(user_id="u", session_id=session.id, new_message=words(prompt))))
        config = RunConfig(streaming_mode=StreamingMode.SSE) if path == "stream" else None
        return said(asyncio.run(events(runner, prompt, config)))

    async def arun(self, runner: InMemoryRunner, prompt: str) -> str:
        return said(await events(runner, prompt))

    def results(self, body: dict[str, Any]) -> list[str]:
        found = [part["functionResponse"]["response"] for part in _parts(body) if "functionResponse" in part]
        return [str(next(iter(one.values()), "")) for one in found]

    def schemas(self, body: dict[str, Any]) -> Any:
        return body["tools"]


def _parts(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [part for content in body["contents"] for part in content["parts"]]


class TestGoogleADK(Suite):
    driver = GoogleADK()
