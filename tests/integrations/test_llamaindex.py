"""LlamaIndex: agents and workflows on their own runtime, with its own client of OpenAI's chat completions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("llama_index.core")
pytest.importorskip("llama_index.llms.openai")

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.llms.openai import OpenAI

from kaizen_security.integrations import llamaindex
from tests.integrations import chat
from tests.integrations.suite import Suite


def model(url: str) -> OpenAI:
    return OpenAI(model="gpt-4o-mini", api_base=f"{url}/v1", api_key="none", max_retries=0)


class LlamaIndex:
    """``FunctionAgent.run``; its tools are called on an event loop whatever they are."""

    name = "LlamaIndex"
    package = "llama-index-core"
    paths = ("async", "stream")

    def build(self, url: str, tools: list[Any], kaizen: Any) -> FunctionAgent:
        agent = FunctionAgent(name="assistant", tools=tools, llm=model(url))
        if kaizen is not None:
            llamaindex.attach(kaizen, agent)
        return agent

    def run(self, agent: FunctionAgent, path: str, prompt: str) -> str:
        agent.streaming = path == "stream"
        agent.llm = model(agent.llm.api_base.removesuffix("/v1"))  # its client belongs to one event loop
        return asyncio.run(self._streamed(agent, prompt) if path == "stream" else self.arun(agent, prompt))

    async def arun(self, agent: FunctionAgent, prompt: str) -> str:
        handler = agent.run(user_msg=prompt)
        try:
            return str(await handler)
        except asyncio.CancelledError:
            await handler.cancel_run()
            raise

    async def _streamed(self, agent: FunctionAgent, prompt: str) -> str:
        handler = agent.run(user_msg=prompt)
        async for _ in handler.stream_events():
            pass
        return str(await handler)

    def results(self, body: dict[str, Any]) -> list[str]:
        return chat.results(body)

    def schemas(self, body: dict[str, Any]) -> Any:
        return body["tools"]


class TestLlamaIndex(Suite):
    driver = LlamaIndex()
