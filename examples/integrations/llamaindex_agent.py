"""LlamaIndex: `pip install llama-index-core llama-index-llms-openai`, then `python examples/integrations/llamaindex_agent.py`."""

import asyncio

from bills import Bills
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.llms.openai import OpenAI

from kaizen_security.integrations import llamaindex

with Bills("bills-llamaindex") as bills, asyncio.Runner() as loop:
    model = OpenAI("gpt-4o", api_base=bills.url + "/v1", api_key="none")  # a real one: OpenAI("gpt-4o")
    agent = FunctionAgent(name="bills", tools=[bills.bill_read, bills.transfer_make], llm=model)
    llamaindex.attach(bills.kaizen, agent)

    async def ask(request: str) -> str:
        return str(await agent.run(user_msg=request))

    status = bills.play(lambda request: loop.run(ask(request)))
raise SystemExit(status)
