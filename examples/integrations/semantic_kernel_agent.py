"""Semantic Kernel: `pip install semantic-kernel`, then `python examples/integrations/semantic_kernel_agent.py`."""

import asyncio

from bills import Bills
from openai import AsyncOpenAI
from semantic_kernel import Kernel
from semantic_kernel.agents import ChatCompletionAgent
from semantic_kernel.connectors.ai.open_ai import OpenAIChatCompletion
from semantic_kernel.functions import kernel_function

from kaizen_security.integrations import semantic_kernel


class Tools:
    """A plugin, as Semantic Kernel wants it."""

    @kernel_function
    def bill_read(self, bill: str) -> str:
        """Read a bill."""
        return bills.bill_read(bill)

    @kernel_function
    def transfer_make(self, iban: str, amount: float) -> str:
        """Transfer money to an account."""
        return bills.transfer_make(iban, amount)


with Bills("bills-semantic-kernel") as bills, asyncio.Runner() as loop:
    client = AsyncOpenAI(base_url=bills.url + "/v1", api_key="none")  # a real one: AsyncOpenAI()
    kernel = Kernel()
    kernel.add_service(OpenAIChatCompletion(ai_model_id="gpt-5", async_client=client))
    kernel.add_plugin(Tools(), "bills")
    agent = ChatCompletionAgent(name="bills", kernel=kernel)
    semantic_kernel.attach(bills.kaizen, agent)

    async def ask(request: str) -> str:
        return str(await agent.get_response(messages=request))

    status = bills.play(lambda request: loop.run(ask(request)))
raise SystemExit(status)
