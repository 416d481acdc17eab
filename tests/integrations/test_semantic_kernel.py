"""Semantic Kernel: agents and orchestrations, with its own connector to OpenAI's chat completions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("semantic_kernel")

from openai import AsyncOpenAI
from semantic_kernel import Kernel
from semantic_kernel.agents import ChatCompletionAgent
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion
from semantic_kernel.functions import KernelPlugin, kernel_function

from kaizen_security.integrations import semantic_kernel
from tests.integrations import chat
from tests.integrations.suite import Suite


def service(url: str) -> OpenAIChatCompletion:
    client = AsyncOpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    return OpenAIChatCompletion(ai_model_id="gpt-test", async_client=client)


class SemanticKernel:
    """``ChatCompletionAgent``: ``get_response`` and ``invoke_stream``; it has no other way than an event loop."""

    name = "Semantic Kernel"
    package = "semantic-kernel"
    paths = ("async", "stream")

    def build(self, url: str, tools: list[Any], kaizen: Any) -> ChatCompletionAgent:
        functions = [kernel_function(name=one.__name__, description=one.__doc__)(one) for one in tools]
        kernel = Kernel()
        kernel.add_plugin(KernelPlugin(name="tools", functions=functions))
        agent = ChatCompletionAgent(name="assistant", service=service(url), kernel=kernel)
        if kaizen is not None:
            semantic_kernel.attach(kaizen, agent)
        return agent

    def run(self, agent: ChatCompletionAgent, path: str, prompt: str) -> str:
        # Its client belongs to one event loop.
        agent.service = service(str(agent.service.client.base_url).removesuffix("/v1/"))
        agent.kernel.remove_all_services()
        agent.kernel.add_service(agent.service)
        return asyncio.run(self._streamed(agent, prompt) if path == "stream" else self.arun(agent, prompt))

    async def arun(self, agent: ChatCompletionAgent, prompt: str) -> str:
        return str(await agent.get_response(messages=prompt))

    async def _streamed(self, agent: ChatCompletionAgent, prompt: str) -> str:
        return "".join([str(one) async for one in agent.invoke_stream(messages=prompt)])

    def results(self, body: dict[str, Any]) -> list[str]:
        return chat.results(body)

    def schemas(self, body: dict[str, Any]) -> Any:
        return body["tools"]


class TestSemanticKernel(Suite):
    driver = SemanticKernel()
