"""OpenTelemetry: OTLP/HTTP in its JSON encoding (opentelemetry-proto 1.x), a span and a log record for each notice.

The span is ``kaizen.inspect`` with the attributes ``kaizen.id .decision .reason .kind .tool .publisher .target`` and what a webhook
has of it as well (``.severity .rung .detections``). Beside them stand the semantic conventions' own names
(``gen_ai.agent.name``, ``gen_ai.tool.name``, ``server.address``, ``server.port``), so that existing dashboards find them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from kaizen_security.contract import canonical
from kaizen_security.contract.action import Json
from kaizen_security.exports.base import Destination, Notice
from kaizen_security.net.outbound import Exchange

SPAN_KIND_INTERNAL = 1
SEVERITY = {"info": (9, "INFO"), "low": (13, "WARN"), "medium": (14, "WARN2"), "high": (17, "ERROR")}
"""Kaizen's severity as OTLP's number and text."""


def attributes(notice: Notice) -> list[Json]:
    """The attributes of span and log record; what is not stated is left out."""
    action = notice.action
    place = canonical.destination(action.kind, action.target)
    stated = {
        "kaizen.id": notice.id,
        "kaizen.decision": notice.verdict.decision.value,
        "kaizen.reason": notice.verdict.reason,
        "kaizen.kind": action.kind,
        "kaizen.tool": action.tool,
        "kaizen.publisher": action.publisher,
        "kaizen.target": action.target,
        "kaizen.source": action.source,
        "kaizen.run_id": action.run_id,
        "kaizen.act_id": action.act_id,
        "gen_ai.agent.name": notice.agent,
        "gen_ai.tool.name": action.tool,
        "server.address": place.host if place is not None else "",
    }
    pairs: list[Json] = [{"key": key, "value": {"stringValue": value}} for key, value in stated.items() if value]
    lists = {
        "kaizen.detections": tuple(dict.fromkeys(one.detection for one in notice.verdict.evidence if one.detection)),
        "kaizen.notes": notice.verdict.notes,
    }
    for key, values in lists.items():
        if values:
            found: list[Json] = [{"stringValue": value} for value in values]
            pairs.append({"key": key, "value": {"arrayValue": {"values": found}}})
    if place is not None and place.port:
        pairs.append({"key": "server.port", "value": {"intValue": str(place.port)}})
    pairs.append({"key": "kaizen.severity", "value": {"stringValue": notice.verdict.severity.value}})
    pairs.append({"key": "kaizen.event", "value": {"stringValue": notice.kind.value}})
    pairs.append({"key": "kaizen.rung", "value": {"intValue": str(int(action.rung))}})
    return pairs


def span_ids(notice: Notice) -> tuple[str, str]:
    """Trace id (one a run, else one a notice) and span id, as hex. Derived, so a repeated delivery is the same span."""
    trace = hashlib.sha256(f"trace:{notice.action.run_id or notice.id}".encode()).hexdigest()[:32]
    return trace, hashlib.sha256(f"span:{notice.id}".encode()).hexdigest()[:16]


def traces(notices: Sequence[Notice], service: str) -> dict[str, Json]:
    """An ExportTraceServiceRequest."""
    spans: list[Json] = []
    for notice in notices:
        trace_id, span_id = span_ids(notice)
        span: dict[str, Json] = {
            "traceId": trace_id,
            "spanId": span_id,
            "name": "kaizen.inspect",
            "kind": SPAN_KIND_INTERNAL,
            "startTimeUnixNano": _nanos(notice.at),
            "endTimeUnixNano": _nanos(notice.at),
            "attributes": attributes(notice),
        }
        spans.append(span)
    return {
        "resourceSpans": [
            {"resource": _resource(service), "scopeSpans": [{"scope": {"name": "kaizen"}, "spans": spans}]}
        ]
    }


def logs(notices: Sequence[Notice], service: str) -> dict[str, Json]:
    """An ExportLogsServiceRequest."""
    records: list[Json] = []
    for notice in notices:
        trace_id, span_id = span_ids(notice)
        number, word = SEVERITY[notice.verdict.severity.value]
        record: dict[str, Json] = {
            "timeUnixNano": _nanos(notice.at),
            "severityNumber": number,
            "severityText": word,
            "body": {"stringValue": notice.verdict.reason},
            "traceId": trace_id,
            "spanId": span_id,
            "attributes": attributes(notice),
        }
        records.append(record)
    return {
        "resourceLogs": [
            {"resource": _resource(service), "scopeLogs": [{"scope": {"name": "kaizen"}, "logRecords": records}]}
        ]
    }


class Otlp:
    """Any collector that takes OTLP/HTTP JSON; the destination's address is its base (``https://collector:4318``)."""

    def exchanges(self, notices: Sequence[Notice], destination: Destination) -> list[Exchange]:
        """Two exchanges for all notices together: spans, then log records."""
        if not notices:
            return []
        named = destination.options.get("service")
        service = named if isinstance(named, str) and named else "kaizen"
        base = destination.url.rstrip("/")
        headers = {**destination.headers, "Content-Type": "application/json", "User-Agent": "kaizen"}
        if destination.secret:
            headers["Authorization"] = destination.secret
        return [
            Exchange(url=f"{base}{path}", body=json.dumps(document, ensure_ascii=False).encode(), headers=headers)
            for path, document in (("/v1/traces", traces(notices, service)), ("/v1/logs", logs(notices, service)))
        ]


def _resource(service: str) -> Json:
    return {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}


def _nanos(at: float) -> str:
    # OTLP's JSON carries 64-bit integers as text. Through microseconds: a float of seconds has no more than that to give.
    return str(round(at * 1_000_000) * 1000)
