"""Google ADK: `pip install google-adk`, then `python examples/integrations/google_adk_agent.py`."""

import asyncio
import os

from bills import Bills
from google.adk.agents import LlmAgent
from google.adk.apps import App
from google.adk.runners import InMemoryRunner
from google.genai import types

from kaizen_security.integrations.google_adk import KaizenPlugin

with Bills("bills-google-adk") as bills, asyncio.Runner() as loop:
    os.environ.update(GOOGLE_API_KEY="none", GOOGLE_GEMINI_BASE_URL=bills.url)  # a real one: without this line
    agent = LlmAgent(name="clerk", model="gemini-3-pro", tools=[bills.bill_read, bills.transfer_make])
    runner = InMemoryRunner(app=App(name="bills", root_agent=agent, plugins=[KaizenPlugin(bills.kaizen)]))

    async def ask(request: str) -> None:
        session = await runner.session_service.create_session(app_name="bills", user_id="user")
        message = types.Content(role="user", parts=[types.Part(text=request)])
        async for _ in runner.run_async(user_id="user", session_id=session.id, new_message=message):
            pass

    status = bills.play(lambda request: loop.run(ask(request)))
raise SystemExit(status)
