"""OpenTelemetry GenAI spans to steps with the times of each call. Pure.

``otel`` puts whole runs together for replay, where times do not matter; here each span that has ended says when its call was under
way. A span without a parent ends its run.
"""

from __future__ import annotations

from kaizen_security.collectors.traces.messages import unwrapped
from kaizen_security.collectors.traces.otel import TOOL_OPERATIONS, Otel, Span, conversation
from kaizen_security.collectors.traces.telling import Telling, name, text
from kaizen_security.contract.step import Step


def steps(otel: Otel, agent: str) -> list[Step]:
    """The steps that the spans tell of, in the order in which they began; a run's end comes last."""
    telling = Telling(agent, "otel")
    spans = sorted(otel.spans(), key=lambda span: span.at)
    for span in spans:
        run = otel.inherited(span, "gen_ai.conversation.id") or span.trace
        if _is_tool(span):
            _tool(span, telling, run)
        else:
            _words(span, telling, run)
    for span in spans:
        if not span.parent and span.until:
            run = otel.inherited(span, "gen_ai.conversation.id") or span.trace
            # Spans that came before this one did not know what conversation they are of: their run is the trace.
            for one in dict.fromkeys((run, span.trace)):
                telling.ended(one, span.until / 1e9, completed=not span.failed)
    return telling.steps


def _is_tool(span: Span) -> bool:
    return text(span.attributes.get("gen_ai.operation.name")) in TOOL_OPERATIONS


def _tool(span: Span, telling: Telling, run: str) -> None:
    tool = text(span.attributes.get("gen_ai.tool.name")) or span.name.removeprefix("execute_tool ").strip()
    id_ = name(span.attributes.get("gen_ai.tool.call.id")) or f"span {span.id}"
    telling.called(run, id_, tool, span.attributes.get("gen_ai.tool.call.arguments"), span.at / 1e9)
    if span.until:
        result = unwrapped(span.attributes.get("gen_ai.tool.call.result"))
        telling.brought(run, id_, result, span.until / 1e9, failed=span.failed)


def _words(span: Span, telling: Telling, run: str) -> None:
    for said in conversation(span):
        if said.role == "user" and said.text:
            telling.asked(run, said.text, span.at / 1e9)
        elif said.role == "assistant":
            if said.text:
                telling.said(run, said.text, (span.until or span.at) / 1e9)
            for call in said.calls:
                if call.id:
                    # What the model asked for; the span of the tool, when it comes, is the same call by its id.
                    telling.called(run, call.id, call.tool, call.arguments, (span.until or span.at) / 1e9)
