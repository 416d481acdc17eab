"""Pydantic AI: `pip install 'pydantic-ai-slim[openai]'`, then `python examples/integrations/pydantic_ai_agent.py`."""

from bills import Bills
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from kaizen_security.integrations.pydantic_ai import KaizenCapability

with Bills("bills-pydantic-ai") as bills:
    provider = OpenAIProvider(base_url=bills.url + "/v1", api_key="none")  # a real one: OpenAIProvider()
    agent = Agent(
        OpenAIChatModel("gpt-5", provider=provider),
        tools=[bills.bill_read, bills.transfer_make],
        capabilities=[KaizenCapability(bills.kaizen)],
    )
    status = bills.play(lambda request: agent.run_sync(request).output)
raise SystemExit(status)
