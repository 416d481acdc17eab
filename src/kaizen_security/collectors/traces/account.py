"""One document of an agent's account, in any of the shapes that ``POST /v1/traces`` takes, to steps. Pure.

Bedrock trace events, OTLP/HTTP JSON with GenAI spans, traces of the OpenAI Agents SDK, runs of LangChain, plain JSON steps.
"""

from __future__ import annotations

from kaizen_security.collectors.traces import bedrock, langchain, openai_agents
from kaizen_security.collectors.traces.otel import Otel
from kaizen_security.collectors.traces.spans import steps as span_steps
from kaizen_security.contract.action import Json
from kaizen_security.contract.codec import decode_step
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import array, obj
from kaizen_security.contract.step import Step

MAX_STEPS = 10_000


def steps_of(document: Json, agent: str) -> list[Step]:
    """The steps that a document tells of. ``agent``, told by key or channel, wins over what the document says.

    Raises InvalidInput naming the field, and for what is none of the known shapes.
    """
    if isinstance(document, list):
        if document and all(map(bedrock.is_bedrock, document)):
            return bedrock.steps(document, agent)
        return _several(document, agent)
    doc = obj(document, "trace")
    if "resourceSpans" in doc or "resource_spans" in doc:
        otel = Otel()
        otel.take(doc)
        return span_steps(otel, agent)
    if "steps" in doc:
        found = array(doc, "steps", limit=MAX_STEPS)
        return [decode_step(one, agent=agent, field=f"steps[{i}]") for i, one in enumerate(found)]
    if "events" in doc:
        return bedrock.steps(array(doc, "events", limit=MAX_STEPS), agent, str(doc.get("sessionId") or "")[:256])
    if bedrock.is_bedrock(doc):
        return bedrock.steps([doc], agent)
    if openai_agents.is_openai_agents(doc):
        return openai_agents.steps(doc, agent)
    if langchain.is_langchain(doc):
        return langchain.steps(doc, agent)
    if "step" in doc:
        return [decode_step(doc, agent=agent, field="trace")]
    raise InvalidInput(
        "trace", "is none of the shapes that are known: OTLP spans, Bedrock events, OpenAI Agents, LangChain, steps"
    )


def _several(documents: list[Json], agent: str) -> list[Step]:
    found: list[Step] = []
    for one in documents:
        found += steps_of(one, agent) if not isinstance(one, list) else _refuse()
        if len(found) > MAX_STEPS:
            raise InvalidInput("trace", f"holds more than {MAX_STEPS} steps")
    return found


def _refuse() -> list[Step]:
    raise InvalidInput("trace", "a list in a list tells nothing")
