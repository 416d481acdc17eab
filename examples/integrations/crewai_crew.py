"""CrewAI: `pip install crewai`, then `python examples/integrations/crewai_crew.py`."""

import os

os.environ.update(CREWAI_DISABLE_TELEMETRY="true", CREWAI_TRACING_ENABLED="false")

from bills import Bills
from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool

from kaizen_security.integrations import crewai

with Bills("bills-crewai") as bills:
    crewai.attach(bills.kaizen)
    model = LLM(
        model="openai/gpt-5", base_url=bills.url + "/v1", api_key="none"
    )  # a real one: LLM(model="openai/gpt-5")
    tools = [tool(bills.bill_read), tool(bills.transfer_make)]
    agent = Agent(role="bills", goal="pay bills", backstory="a clerk", llm=model, tools=tools, cache=False)

    def ask(request: str) -> str:
        task = Task(description=request, expected_output="what was done", agent=agent)
        return str(Crew(agents=[agent], tasks=[task], cache=False).kickoff())

    status = bills.play(ask)
raise SystemExit(status)
