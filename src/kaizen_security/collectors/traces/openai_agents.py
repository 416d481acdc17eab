"""Traces of the OpenAI Agents SDK, as its exporter posts them, to steps. Pure.

``{"data": [{"object": "trace", …}, {"object": "trace.span", "span_data": {"type": …}}]}``.
"""

from __future__ import annotations

from kaizen_security.collectors.traces.messages import messages
from kaizen_security.collectors.traces.telling import Telling, held, moment, name, text
from kaizen_security.contract.action import Json
from kaizen_security.contract.step import Step


def is_openai_agents(document: Json) -> bool:
    """Whether it is what the exporter posts, or one item of it."""
    if not isinstance(document, dict):
        return False
    data = document.get("data")
    items = data if isinstance(data, list) else [document]
    return any(isinstance(one, dict) and one.get("object") in ("trace", "trace.span") for one in items)


def steps(document: dict[str, Json], agent: str) -> list[Step]:
    """The steps that these spans tell of, in the order in which they began."""
    telling = Telling(agent, "openai-agents")
    data = document.get("data")
    spans = [one for one in (data if isinstance(data, list) else [document]) if isinstance(one, dict)]
    for span in sorted(spans, key=lambda span: moment(span.get("started_at"))):
        if span.get("object") == "trace.span":
            _span(span, telling)
    return telling.steps


def _span(span: dict[str, Json], telling: Telling) -> None:
    run, id_ = name(span.get("trace_id")), name(span.get("id"))
    begun, ended = moment(span.get("started_at")), moment(span.get("ended_at"))
    data = held(span, "span_data")
    match data.get("type"):
        case "function":
            telling.called(run, id_, name(data.get("name")), data.get("input"), begun)
            if ended:
                telling.brought(run, id_, data.get("output"), ended, failed=bool(span.get("error")))
        case "generation" | "response":
            for said in (*messages(data.get("input"), "user"), *messages(data.get("output"), "assistant")):
                if said.role == "user" and said.text:
                    telling.asked(run, said.text, begun)
                elif said.role == "assistant" and said.text:
                    telling.said(run, said.text, ended or begun)
        case "handoff":
            telling.said(run, f"hand over to {text(data.get('to_agent'))}", begun)
        case "agent" if not span.get("parent_id") and ended:
            telling.ended(run, ended, completed=not span.get("error"))
