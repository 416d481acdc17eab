"""Observations that Langfuse exported, as JSON, JSON lines or CSV, to runs. Pure.

From its tables, its API, its blob storage and a trace's download: one observation a row or a list of them, in camel or in snake
case; in CSV every value is text, and documents are JSON in it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from kaizen_security.collectors.traces.messages import Brought, Called, arguments, messages, unwrapped
from kaizen_security.collectors.traces.otel import Otel, Span
from kaizen_security.collectors.traces.runs import Runs
from kaizen_security.contract.action import Json
from kaizen_security.contract.fields import MAX_NAME

MAX_OBSERVATIONS = 1_000_000
_LISTS = ("observations", "data", "traces")


@dataclass(slots=True)
class Observation:
    """One row. ``at`` orders them: the text of its start."""

    id: str
    trace: str
    parent: str
    type: str
    name: str
    at: str
    session: str
    input: Json
    output: Json
    failed: bool
    model: str


class Langfuse:
    """Takes documents of an export in any order, then gives the runs. ``losses``: what could not be used, by reason."""

    def __init__(self) -> None:
        self.runs = Runs("langfuse")
        self._rows: dict[tuple[str, str], Observation] = {}
        self._names: dict[str, str] = {}
        self._sent = Otel()

    @property
    def losses(self) -> Mapping[str, int]:
        """By reason."""
        return self.runs.losses

    def take(self, document: Json) -> None:
        """An observation, a list of them, a trace with its observations, or an answer of the API."""
        if isinstance(document, list):
            for one in document:
                self.take(one)
            return
        if not isinstance(document, dict):
            self.runs.losses["documents that hold no observation"] += 1
            return
        if "resourceSpans" in document or "resource_spans" in document:
            # What its SDKs send: spans with its own attributes.
            self._sent.take(document)
            return
        held = [document[key] for key in _LISTS if isinstance(unwrapped(document.get(key)), list)]
        if held:
            self._trace(document)
            for found in held:
                self.take(unwrapped(found))
            return
        self._row({_snake(key): value for key, value in document.items()})

    def _trace(self, document: Mapping[str, Json]) -> None:
        inner = document.get("trace")
        doc = inner if isinstance(inner, dict) else document
        name, id_ = _text(doc.get("name")), _text(doc.get("id"))
        if name and id_:
            self._names[id_] = name

    def _row(self, doc: Mapping[str, Json]) -> None:
        id_, trace = _text(doc.get("id")), _text(doc.get("trace_id"))
        if not id_ or not trace:
            self.runs.losses["observations without a trace's or their own id"] += 1
            return
        if len(self._rows) >= MAX_OBSERVATIONS:
            self.runs.losses["observations beyond the bound"] += 1
            return
        if (trace, id_) in self._rows:
            self.runs.losses["observations that were there before"] += 1
        self._rows[trace, id_] = Observation(
            id=id_,
            trace=trace,
            parent=_text(doc.get("parent_observation_id")),
            type=(_text(doc.get("type")) or "SPAN").upper(),
            name=_text(doc.get("name")),
            at=_text(doc.get("start_time")),
            session=_text(doc.get("session_id")),
            input=unwrapped(doc.get("input")),
            output=unwrapped(doc.get("output")),
            failed=_text(doc.get("level")).upper() == "ERROR",
            model=_text(doc.get("provided_model_name")) or _text(doc.get("model")),
        )
        self._names.setdefault(trace, _text(doc.get("trace_name")))

    # --- runs ---------------------------------------------------------------------------------------------------------------

    def documents(self) -> Iterator[dict[str, Json]]:
        """The runs, as lines of the line format."""
        for span in self._sent.spans():
            self._row(_of_span(span))
        self.runs.losses.update(self._sent.losses)
        traces: dict[str, list[Observation]] = defaultdict(list)
        for row in self._rows.values():
            traces[row.trace].append(row)
        for rows in sorted(traces.values(), key=lambda found: min(row.at for row in found)):
            rows.sort(key=lambda row: row.at)
            talks = any(row.type == "GENERATION" for row in rows)
            for row in rows:
                self._take(row, talks)
        yield from self.runs.documents()

    def _take(self, row: Observation, talks: bool) -> None:
        run = self.runs.run(row.session or row.trace, self._agent(row)[:MAX_NAME])
        if row.type == "GENERATION":
            run.model = run.model or row.model
            said = [*messages(row.input, "user"), *messages(row.output, "assistant")]
            run.conversation(said, self.runs.losses)
        elif row.type == "TOOL":
            asked = run.waiting(row.name)
            id_ = asked or f"observation {row.id}"
            called = Called(tool=row.name[:MAX_NAME] or "tool", arguments=arguments(row.input), id=id_[:MAX_NAME])
            run.called(called, Counter(), self.runs.losses)
            if row.output is not None or row.failed:
                found = Brought(content=row.output, id=id_[:MAX_NAME], failed=row.failed)
                run.brought(found, self.runs.losses)
        elif not talks and not row.parent and isinstance(row.input, str) and row.input:
            # No model is seen in this trace: what its root was given is what was asked.
            run.asked[row.input] = None

    def _agent(self, row: Observation) -> str:
        """The nearest agent above, else the trace's name."""
        seen: set[str] = set()
        at: Observation | None = row
        while at is not None and at.id not in seen:
            if at.type == "AGENT" and at.name:
                return at.name
            seen.add(at.id)
            at = self._rows.get((at.trace, at.parent)) if at.parent else None
        if at is not None:
            self.runs.losses["observations that are their own ancestors"] += 1
        return self._names.get(row.trace, "") or "default"


def _of_span(span: Span) -> dict[str, Json]:
    said = span.attributes
    return {
        "id": span.id,
        "trace_id": span.trace,
        "parent_observation_id": span.parent,
        "name": span.name,
        "start_time": f"{span.at:020}",
        "type": said.get("langfuse.observation.type"),
        "input": said.get("langfuse.observation.input"),
        "output": said.get("langfuse.observation.output"),
        "level": said.get("langfuse.observation.level"),
        "model": said.get("langfuse.observation.model.name"),
        "session_id": said.get("session.id"),
        "trace_name": said.get("langfuse.trace.name"),
    }


def _snake(key: str) -> str:
    """``parentObservationId`` and ``Parent Observation Id`` as ``parent_observation_id``."""
    said = "".join(f"_{char.lower()}" if char.isupper() else char for char in key.strip().replace(" ", ""))
    return said.lstrip("_")


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""
