"""OpenTelemetry: any agent that writes GenAI spans; here Pydantic AI's own. It observes: what is injected is flagged, not refused.

`pip install opentelemetry-sdk 'pydantic-ai-slim[openai]'`, then `python examples/integrations/otel_spans.py`.
"""

from bills import FOREIGN, Bills
from opentelemetry.sdk.trace import TracerProvider
from pydantic_ai import Agent
from pydantic_ai.capabilities import Instrumentation
from pydantic_ai.models.instrumented import InstrumentationSettings
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from kaizen_security.integrations.otel import KaizenSpanProcessor

with Bills("bills-otel") as bills:
    told = []
    bills.kaizen.on_verdict = lambda verdict, action: told.append(action)
    tracing = TracerProvider()
    tracing.add_span_processor(KaizenSpanProcessor(bills.kaizen))
    provider = OpenAIProvider(base_url=bills.url + "/v1", api_key="none")  # a real one: OpenAIProvider()
    agent = Agent(
        OpenAIChatModel("gpt-5", provider=provider),
        tools=[bills.bill_read, bills.transfer_make],
        capabilities=[Instrumentation(InstrumentationSettings(tracer_provider=tracing))],
    )
    bills.play(lambda request: agent.run_sync(request).output)
    bills.kaizen.flush()
    paid = [action for action in told if action.tool == "transfer_make"][-1]
    verdict = bills.kaizen.inspect(paid)  # what the sidecar found of that very call, by its id
    print(f"Told afterwards, the transfer to {FOREIGN} was flagged: {verdict.flagged} ({verdict.reason})")
raise SystemExit(0 if verdict.flagged else 1)
