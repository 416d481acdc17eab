"""OpenTelemetry: ``KaizenSpanProcessor`` turns the GenAI spans of any instrumented agent into Steps; ``record_verdict`` writes a
verdict into a span.

A span is told when it is over, so this only observes: nothing is prevented. A call that an attachment of this process has reported
already is not told again, by its id. Conventions: OpenTelemetry GenAI 1.37 and newer (``gen_ai.*`` attributes of ``execute_tool``,
``invoke_agent`` and ``chat`` spans), and what OpenInference and OpenLLMetry write of tools (``otel_foreign``); earlier ones are
read by ``kaizen convert`` from what was exported.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kaizen_security.client.acts import ACT, Spanned
from kaizen_security.client.aio import AsyncKaizen
from kaizen_security.client.client import Kaizen
from kaizen_security.contract.action import Action
from kaizen_security.contract.errors import HookUnavailable
from kaizen_security.contract.verdict import Verdict
from kaizen_security.integrations.base import REPORTED, AttachPoint, Call, Refused, attach_point
from kaizen_security.integrations.otel_foreign import translated
from kaizen_security.integrations.runs import MAX_TEXT, Running

try:
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Span, get_current_span
except ImportError as err:
    raise HookUnavailable("the OpenTelemetry SDK is not installed: pip install opentelemetry-sdk") from err

SOURCE = "otel"
MOST_RUNS = 1000
"""Traces that are remembered while they go on."""
MOST_SPANS = 10_000
"""Spans of all traces whose agent is remembered while they go on; the oldest, which may never end, go first."""
NOBODY: tuple[tuple[str, ...], str] = (), ""
MAX_MESSAGES = 200
MAX_SHOWN = 4096
"""Words of the user, and answers of tools, that one trace is known to have shown: it may go on for weeks."""


@dataclass(slots=True)
class _Trace:
    """One trace: a run. ``asked`` is the agent of its outermost invocation."""

    running: Running | None = None
    root: int = 0
    asked: str | None = None
    request: str = ""
    """The end of what the user asked."""
    shown: OrderedDict[int, None] = field(default_factory=OrderedDict)
    """What ``is_new`` was asked of."""

    def is_new(self, role: str, said: str) -> bool:
        """Whether this was not shown before: a model is shown the whole conversation each time that it is asked."""
        key = hash((role, said))
        if key in self.shown:
            return False
        self.shown[key] = None
        if len(self.shown) > MAX_SHOWN:
            self.shown.popitem(last=False)
        return True


class KaizenSpanProcessor(SpanProcessor):  # type: ignore[misc]  # OpenTelemetry is not there when types are checked
    """``provider.add_span_processor(KaizenSpanProcessor(kaizen))``. ``identity`` as for ``base.AttachPoint``.

    A trace is a run. Its outermost ``invoke_agent`` is the agent that was asked; those below act under names of their own.
    """

    def __init__(self, kaizen: Kaizen | AsyncKaizen | None = None, *, identity: bool = True) -> None:
        self.point: AttachPoint = attach_point(kaizen, SOURCE, identity=identity)
        REPORTED.wanted, REPORTED.trace = True, _current
        self._traces: OrderedDict[int, _Trace] = OrderedDict()
        self._open: OrderedDict[tuple[int, int], tuple[tuple[str, ...], str]] = OrderedDict()
        """Of each open span the agents down to the one that acts in it, and the id of the act that an attachment runs around it."""
        self._lock = threading.Lock()

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        """Who acts in the span, which its children must know before it is over."""
        context = span.get_span_context()
        if context is None:
            return
        trace = self._trace(context.trace_id, context.span_id)
        parent = NOBODY if span.parent is None else self._open.get((context.trace_id, span.parent.span_id), NOBODY)
        above = parent[0]
        # As it stands: no foreign convention names an agent, and what a tool is given there would be parsed while the host waits.
        if _said(span, "gen_ai.operation.name") == "invoke_agent":
            name = _said(span, "gen_ai.agent.name") or "agent"
            if trace.asked is None:
                trace.asked = name
                self._running(trace)
            elif name != trace.asked and above[-1:] != (name,):
                above = (*above, name)
        act = ACT.get()
        with self._lock:
            self._open[context.trace_id, context.span_id] = above, act.id if act is not None else ""
            if len(self._open) > MOST_SPANS:
                self._open.popitem(last=False)

    def on_end(self, span: Any) -> None:
        """A span is over: a call of a tool is an action and its result, a model's turn shows the request."""
        context = span.get_span_context()
        trace = None if context is None else self._traces.get(context.trace_id)
        if trace is None:
            return
        agents, act = self._open.pop((context.trace_id, context.span_id), NOBODY)
        span = _Read(span, context.trace_id)
        match _said(span, "gen_ai.operation.name"):
            case "execute_tool":
                self._called(trace, span, agents, act)
            case "chat" | "generate_content" | "text_completion" | "invoke_agent":
                self._heard(trace, span)
        if context.span_id == trace.root:
            self._traces.pop(context.trace_id, None)
            if trace.running is not None:
                trace.running.end(completed=not _failed(span))

    def shutdown(self) -> None:
        """Traces that are still open are cut off."""
        for trace in list(self._traces.values()):
            if trace.running is not None:
                trace.running.end(completed=False)
        self._traces.clear()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Deliver what was told."""
        return self.point.kaizen.flush(timeout_millis / 1000)

    # --- spans

    def _trace(self, trace_id: int, span_id: int) -> _Trace:
        with self._lock:
            trace = self._traces.get(trace_id)
            if trace is None:
                trace = self._traces[trace_id] = _Trace(root=span_id)
                if len(self._traces) > MOST_RUNS:
                    _, oldest = self._traces.popitem(last=False)
                    if oldest.running is not None:
                        oldest.running.end(completed=False)
            return trace

    def _running(self, trace: _Trace) -> Running:
        if trace.running is None:
            trace.running = self.point.run().begin()
        return trace.running

    def _called(self, trace: _Trace, span: Any, agents: tuple[str, ...], act: str) -> None:
        tool = _said(span, "gen_ai.tool.name") or str(span.name).removeprefix("execute_tool ").strip()
        call_id = _said(span, "gen_ai.tool.call.id")
        if not tool or (call_id and call_id in REPORTED):
            return
        given = _said(span, "gen_ai.tool.call.arguments") or _value(span, "gen_ai.tool.call.arguments")
        if self._is_known(span, tool, _unwrapped(given), call_id, agents, act):
            return
        call = Call(
            tool=tool,
            arguments=given,
            id=call_id,
            agents=agents,
            run=self._running(trace),
        )
        said = self.point.told(call)
        if isinstance(said, Refused):
            return  # it ran all the same: the verdict says what it would have been
        self.point.after(said, _unwrapped(_value(span, "gen_ai.tool.call.result")), failed=_failed(span))

    def _is_known(
        self, span: Any, tool: str, arguments: object, call_id: str, agents: tuple[str, ...], act: str
    ) -> bool:
        """Whether an attachment runs this call around the span or within it, where no id says so."""
        begun, over = span.start_time, span.end_time
        if begun is None or over is None:
            return False
        return REPORTED.take_act(
            Spanned(
                tool=tool,
                arguments=arguments,
                begun=begun / 1e9,
                ended=over / 1e9,
                id=call_id,
                around=act,
                agent=self.point.agent(agents).settings.agent,
                asked=self.point.kaizen.settings.agent,
                trace=span.trace_id,
            )
        )

    def _heard(self, trace: _Trace, span: Any) -> None:
        running = self._running(trace)
        for role, text, call_id, content in _messages(_value(span, "gen_ai.input.messages")):
            if role == "user" and text and trace.is_new(role, text) and text not in trace.request:
                trace.request = f"{trace.request}\n{text}".strip()[-MAX_TEXT:]
                running.request(text)
            elif role == "tool" and call_id and call_id not in REPORTED and trace.is_new(role, call_id):
                # Brought by an earlier run, or by a tool that has no span of its own.
                running.read(content, action_id=call_id)


def record_verdict(span: Span, verdict: Verdict, action: Action | None = None) -> None:
    """Write a verdict into a span: ``kaizen.decision .reason .flagged``, and ``.kind .tool .publisher .target`` of the action.

    As ``on_verdict`` of ``Kaizen``: ``lambda verdict, action: record_verdict(get_current_span(), verdict, action)``.
    Arguments and evidence stay out: traces go where the run's text may not.
    """
    span.set_attribute("kaizen.decision", verdict.decision.value)
    span.set_attribute("kaizen.reason", verdict.reason)
    span.set_attribute("kaizen.flagged", bool(verdict.evidence))
    for name in ("kind", "tool", "publisher", "target"):
        value = getattr(action, name, "")
        if value:
            span.set_attribute(f"kaizen.{name}", value)


def _current() -> int:
    return int(get_current_span().get_span_context().trace_id)


# --- attributes


class _Read:
    """A span whose attributes are in the words of the conventions."""

    __slots__ = ("attributes", "end_time", "name", "start_time", "status", "trace_id")

    def __init__(self, span: Any, trace_id: int) -> None:
        self.trace_id = trace_id
        self.name, self.status = str(span.name), getattr(span, "status", None)
        self.start_time, self.end_time = span.start_time, span.end_time
        self.attributes = translated(self.name, span.attributes or {})


def _value(span: Any, key: str) -> Any:
    return (span.attributes or {}).get(key)


def _said(span: Any, key: str) -> str:
    found = _value(span, key)
    return found if isinstance(found, str) else ""


def _failed(span: Any) -> bool:
    return bool(getattr(span.status, "is_ok", True)) is False


def _unwrapped(value: Any) -> Any:
    """Documents are attributes as JSON text."""
    if isinstance(value, str) and value[:1] in '{["':
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _messages(given: Any) -> Iterator[tuple[str, str, str, Any]]:
    """Role, text, and of a tool's answer the call's id and the content."""
    found = _unwrapped(given)
    for message in found[-MAX_MESSAGES:] if isinstance(found, list) else ():
        if not isinstance(message, Mapping):
            continue
        role = str(message.get("role", ""))
        parts = message.get("parts")
        for part in parts if isinstance(parts, list) else ():
            if not isinstance(part, Mapping):
                continue
            if part.get("type") == "text":
                yield role, str(part.get("content", "")), "", None
            elif part.get("type") == "tool_call_response":
                yield "tool", "", str(part.get("id", "")), part.get("response", part.get("result"))
