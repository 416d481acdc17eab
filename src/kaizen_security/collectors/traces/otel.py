"""OpenTelemetry GenAI traces, as OTLP/JSON or as the SDKs print spans, to runs. Pure.

The conventions changed often, and exporters of every generation are at work: prompts in numbered attributes, prompts in span
events, a log event a message (1.28 to 1.36), ``gen_ai.input.messages`` (from 1.37 on), and spans ``execute_tool`` beside all of
them.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kaizen_security.collectors.traces.messages import Brought, Called, Said, arguments, message, messages, unwrapped
from kaizen_security.collectors.traces.runs import Assembling, Runs
from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import MAX_NAME, instant

MAX_SPANS = 1_000_000
_NUMBERED = re.compile(
    r"gen_ai\.(prompt|completion)\.([0-9]{1,5})\.(role|content|tool_call_id|tool_calls\.([0-9]{1,4})\.(id|name|arguments))"
)
_INTEGER = re.compile(r"-?[0-9]{1,19}")
_ROLE_OF_EVENT = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
    "gen_ai.choice": "assistant",
}
_STARTS = ("startTimeUnixNano", "start_time_unix_nano", "start_time", "startTime")
_ENDS = ("endTimeUnixNano", "end_time_unix_nano", "end_time", "endTime")
_CONTENT = {
    "gen_ai.content.prompt": ("gen_ai.prompt", "user"),
    "gen_ai.content.completion": ("gen_ai.completion", "assistant"),
}
TOOL_OPERATIONS = frozenset({"execute_tool", "tool"})
"""Values of ``gen_ai.operation.name`` for a tool that runs."""


@dataclass(slots=True)
class Span:
    """A span, or all that hangs on one. ``at`` orders them: nanoseconds, 0 when not stated; ``until`` is when it ended."""

    id: str
    trace: str
    parent: str = ""
    name: str = ""
    at: int = 0
    until: int = 0
    attributes: Mapping[str, Json] = field(default_factory=dict)
    service: str = ""
    events: list[tuple[str, Mapping[str, Json], Json]] = field(default_factory=list)
    failed: bool = False


class Otel:
    """Takes documents of an export in any order, then gives the runs. ``losses``: what could not be used, by reason."""

    def __init__(self) -> None:
        self.runs = Runs("opentelemetry")
        self._spans: dict[tuple[str, str], Span] = {}
        self._inherited: dict[str, dict[tuple[str, str], str]] = {}

    @property
    def losses(self) -> Mapping[str, int]:
        """By reason."""
        return self.runs.losses

    def take(self, document: Json) -> None:
        """One document: OTLP/JSON of spans or of logs, a span as an SDK prints it, or a list of these."""
        self._inherited.clear()
        if isinstance(document, list):
            for one in document:
                self.take(one)
        elif not isinstance(document, dict):
            self.runs.losses["documents that hold no span"] += 1
        elif any(key in document for key in ("resourceSpans", "resource_spans")):
            self._otlp(document, "Spans", self._span)
        elif any(key in document for key in ("resourceLogs", "resource_logs")):
            self._otlp(document, "Logs", self._log)
        else:
            self._span(document, "")

    def _otlp(self, document: dict[str, Json], what: str, take: Any) -> None:
        inner = {"Spans": ("spans",), "Logs": ("logRecords", "log_records")}[what]
        for resource in _each(document, f"resource{what}", f"resource_{what.lower()}"):
            held = resource.get("resource")
            service = _text(attributes(held.get("attributes")).get("service.name")) if isinstance(held, dict) else ""
            for scope in _each(resource, f"scope{what}", f"scope_{what.lower()}"):
                for one in _each(scope, *inner):
                    take(one, "" if service.startswith("unknown_service") else service)

    def _span(self, doc: dict[str, Json], service: str) -> None:
        context = doc.get("context")
        held = context if isinstance(context, dict) else doc
        trace, id_ = (
            _text(held.get(a)) or _text(held.get(b)) for a, b in (("traceId", "trace_id"), ("spanId", "span_id"))
        )
        if not trace or not id_:
            self.runs.losses["spans without a trace's or their own id"] += 1
            return
        span = self._at(trace, id_)
        if span is None:
            return
        span.parent = next(
            (said for key in ("parentSpanId", "parent_span_id", "parent_id") if (said := _text(doc.get(key)))), ""
        )
        span.name, span.service = _text(doc.get("name")), service
        span.at = next((at for key in _STARTS if (at := _nanos(doc.get(key)))), 0)
        span.until = next((at for key in _ENDS if (at := _nanos(doc.get(key)))), 0)
        span.attributes = attributes(doc.get("attributes"))
        status = doc.get("status")
        code = status.get("code") or status.get("status_code") if isinstance(status, dict) else None
        span.failed = code in (2, "STATUS_CODE_ERROR", "ERROR")
        for event in _each(doc, "events"):
            told = attributes(event.get("attributes"))
            span.events.append((_text(event.get("name")), told, dict(told)))

    def _log(self, doc: dict[str, Json], _: str) -> None:
        trace, id_ = _text(doc.get("traceId") or doc.get("trace_id")), _text(doc.get("spanId") or doc.get("span_id"))
        said = attributes(doc.get("attributes"))
        name = _text(doc.get("eventName") or doc.get("event_name")) or _text(said.get("event.name"))
        if not name.startswith("gen_ai."):
            return
        if not trace or not id_:
            self.runs.losses["events without a trace's or a span's id"] += 1
            return
        span = self._at(trace, id_)
        if span is not None:
            span.events.append((name, said, _value(doc.get("body"))))

    def _at(self, trace: str, id_: str) -> Span | None:
        span = self._spans.get((trace, id_))
        if span is None:
            if len(self._spans) >= MAX_SPANS:
                self.runs.losses["spans beyond the bound"] += 1
                return None
            span = self._spans[trace, id_] = Span(id_, trace)
        return span

    def spans(self) -> Iterator[Span]:
        """Every span that was taken."""
        yield from self._spans.values()

    # --- runs ---------------------------------------------------------------------------------------------------------------

    def documents(self) -> Iterator[dict[str, Json]]:
        """The runs, as lines of the line format."""
        traces: dict[str, list[Span]] = defaultdict(list)
        for span in self._spans.values():
            traces[span.trace].append(span)
        for spans in sorted(traces.values(), key=lambda found: min(span.at for span in found)):
            for span in sorted(spans, key=lambda span: span.at):
                self._take(span)
        yield from self.runs.documents()

    def _take(self, span: Span) -> None:
        said = list(conversation(span))
        is_tool = _text(span.attributes.get("gen_ai.operation.name")) in TOOL_OPERATIONS
        if not said and not is_tool:
            return
        named = self.inherited(span, "gen_ai.agent.name") or span.service or "default"
        run = self.runs.run(self.inherited(span, "gen_ai.conversation.id") or span.trace, named[:MAX_NAME])
        run.model = run.model or _text(span.attributes.get("gen_ai.request.model"))
        run.conversation(said, self.runs.losses)
        if is_tool:
            self._tool(span, run)

    def _tool(self, span: Span, run: Assembling) -> None:
        attributes_ = span.attributes
        name = _text(attributes_.get("gen_ai.tool.name")) or span.name.removeprefix("execute_tool ").strip()
        id_ = _text(attributes_.get("gen_ai.tool.call.id"))
        if not name:
            self.runs.losses["tool spans that name no tool"] += 1
            return
        given, result = (attributes_.get(f"gen_ai.tool.call.{key}") for key in ("arguments", "result"))
        if not id_:
            # Nothing joins it to what the model asked for: it is a call of its own.
            id_ = f"span {span.id}"
        called = Called(tool=name[:MAX_NAME], arguments=arguments(given), id=id_[:MAX_NAME])
        run.called(called, Counter(), self.runs.losses)
        if result is not None or span.failed:
            found = Brought(content=unwrapped(result), id=id_[:MAX_NAME], failed=span.failed)
            run.brought(found, self.runs.losses)

    def inherited(self, span: Span, key: str) -> str:
        """The attribute of the span, or of the nearest one above it that has it."""
        # Kept for all on the way: of spans in a long row each would else walk to its top.
        known = self._inherited.setdefault(key, {})
        way: dict[tuple[str, str], None] = {}
        said = ""
        at: Span | None = span
        while at is not None and not said:
            place = at.trace, at.id
            if place in known:
                said = known[place]
                break
            if place in way:
                self.runs.losses["spans that are their own ancestors"] += 1
                break
            way[place] = None
            said = _text(at.attributes.get(key))
            at = self._spans.get((at.trace, at.parent)) if at.parent else None
        known.update(dict.fromkeys(way, said))
        return said


def conversation(span: Span) -> Iterator[Said]:
    """What the model was given and what it said, whichever generation of the conventions wrote it down."""
    yield from _whole(span.attributes)
    yield from _numbered(span.attributes)
    for name, said, body in span.events:
        if name == "gen_ai.client.inference.operation.details":
            yield from _whole(said)
        elif name in _CONTENT:
            key, role = _CONTENT[name]
            yield from messages(said.get(key), role)
        elif name in _ROLE_OF_EVENT:
            one = message(_with_role(body, _ROLE_OF_EVENT[name]), _ROLE_OF_EVENT[name])
            if one is not None:
                yield one


def _whole(found: Mapping[str, Json]) -> Iterator[Said]:
    for key, role in (("gen_ai.input.messages", "user"), ("gen_ai.output.messages", "assistant")):
        if key in found:
            yield from messages(found[key], role)


def _with_role(body: Json, role: str) -> Json:
    if not isinstance(body, dict):
        return body
    inner = unwrapped(body.get("message"))
    held = inner if isinstance(inner, dict) else body
    return {**held, "role": role, **({"tool_calls": unwrapped(held["tool_calls"])} if "tool_calls" in held else {})}


def _numbered(found: Mapping[str, Json]) -> Iterator[Said]:
    """``gen_ai.prompt.0.role`` and its like."""
    kept: dict[tuple[str, int], dict[str, Any]] = {}
    for key, value in found.items():
        match = _NUMBERED.fullmatch(key)
        if match is None:
            continue
        one = kept.setdefault((match[1], int(match[2])), {"calls": {}})
        if match[4] is None:
            one[match[3]] = value
        else:
            one["calls"].setdefault(int(match[4]), {})[match[5]] = value
    for (what, _), one in sorted(kept.items(), key=lambda item: (item[0][0] == "completion", item[0][1])):
        calls = [one["calls"][i] for i in sorted(one["calls"])]
        role = "user" if what == "prompt" else "assistant"
        held = {**{key: value for key, value in one.items() if key != "calls"}, "tool_calls": calls}
        said = message({"role": role, **held, "content": unwrapped(held.get("content"))}, role)
        if said is not None:
            yield said


# --- OTLP's values --------------------------------------------------------------------------------------------------------------


def attributes(value: Json) -> dict[str, Json]:
    """Attributes, as OTLP/JSON lists them or as an object."""
    if isinstance(value, dict):
        return value
    found: dict[str, Json] = {}
    for one in value if isinstance(value, list) else []:
        if isinstance(one, dict) and isinstance(one.get("key"), str):
            found[str(one["key"])] = _value(one.get("value"))
    return found


def _value(value: Json, depth: int = 0) -> Json:
    """An ``AnyValue`` (opentelemetry/proto/common/v1), in the spellings of OTLP/JSON; what is none stays as it is."""
    if not isinstance(value, dict) or depth > 32:
        return value
    for key, below in value.items():
        match key.replace("_", "").lower():
            case "stringvalue" | "boolvalue" | "doublevalue" | "bytesvalue":
                return below
            case "intvalue":
                return int(below) if isinstance(below, str) and _INTEGER.fullmatch(below) else below
            case "arrayvalue":
                held = below.get("values") if isinstance(below, dict) else None
                return [_value(one, depth + 1) for one in held] if isinstance(held, list) else []
            case "kvlistvalue":
                held = below.get("values") if isinstance(below, dict) else None
                return {
                    str(one["key"]): _value(one.get("value"), depth + 1)
                    for one in (held if isinstance(held, list) else [])
                    if isinstance(one, dict) and "key" in one
                }
            case _:
                return value
    return None


def _each(document: Mapping[str, Json], *keys: str) -> Iterator[dict[str, Json]]:
    for key in keys:
        found = document.get(key)
        if isinstance(found, list):
            yield from (one for one in found if isinstance(one, dict))


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _nanos(value: Json) -> int:
    if isinstance(value, str):
        if value.isdecimal():
            return int(value) if len(value) < 20 else 0
        try:
            return int(instant({"at": value}, "at") * 1e9)
        except InvalidInput:
            return 0
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 64 else 0
