"""OpenAI Agents SDK: `pip install openai-agents`, then `python examples/integrations/openai_agents.py`."""

from agents import Agent, OpenAIResponsesModel, Runner, function_tool, set_tracing_disabled
from bills import Bills
from openai import AsyncOpenAI

from kaizen_security.integrations.openai_agents import KaizenHooks

set_tracing_disabled(True)

with Bills("bills-openai-agents") as bills:
    model = OpenAIResponsesModel(
        "gpt-5", AsyncOpenAI(base_url=bills.url + "/v1", api_key="none")
    )  # a real one: AsyncOpenAI()
    agent = Agent(name="bills", model=model, tools=[function_tool(bills.bill_read), function_tool(bills.transfer_make)])

    def ask(request: str) -> str:
        return str(Runner.run_sync(agent, request, hooks=KaizenHooks(bills.kaizen)).final_output)

    status = bills.play(ask)
raise SystemExit(status)
