"""``/metrics``: for Prometheus. From this machine without a key, from elsewhere with one (an API key, or a session's token)."""

from __future__ import annotations

import ipaddress

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kaizen_security.net.inbound import turned_away
from kaizen_security.runtime import usage
from kaizen_security.server.auth import Principal
from kaizen_security.server.context import Context
from kaizen_security.server.http import forbidden
from kaizen_security.server.metrics import CONTENT_TYPE, counts, family, process, sample
from kaizen_security.server.operation import HEALTH, Answer, Nothing, Operation
from kaizen_security.store.base import Scope

PAGE = Operation(
    "GET /metrics",
    "metrics",
    "what the server counts of itself, for Prometheus",
    Nothing,
    (Answer(description="Prometheus' text exposition format 0.0.4", media="text/plain"),),
    tags=(HEALTH,),
    description="without a key from loopback (unless the server runs behind a proxy); from elsewhere with a session, "
    "or any key that is not an agent's own (bound to a name, or of scope sdk)",
)
_LOCAL = frozenset({"127.0.0.1", "localhost", "[::1]"})


def routes(context: Context) -> list[Route]:
    """One page of text."""

    async def metrics(request: Request) -> Response:
        if not (_from_here(request) and not context.settings.behind_proxy):
            _may_count_all(await context.auth.principal(request))
        lines = [
            *_requests(context),
            *_rows(context),
            *_reasoning(context),
            *await _held(context),
            *await _exports(context),
            *process(),
        ]
        return Response("\n".join(lines) + "\n", media_type=CONTENT_TYPE)

    return [PAGE.route(metrics)]


def _may_count_all(who: Principal) -> None:
    """These are sums over the whole server: no business of an agent's. Raises ApiError (403)."""
    if who.key is not None and (who.bound_agent or who.key.scope is Scope.SDK):
        raise forbidden("this API key is an agent's, and these counts are of all of them")


def _from_here(request: Request) -> bool:
    """From loopback, and under its name: a page in a browser on this machine would come under another one (DNS rebinding)."""
    host = request.headers.get("host", "").rpartition(":")
    name = host[0] if host[2].isdigit() else "".join(host)
    try:
        address = ipaddress.ip_address(request.client.host if request.client else "")
    except ValueError:
        return False
    return address.is_loopback and name.lower() in _LOCAL


def _requests(context: Context) -> list[str]:
    found, limited = context.metrics, context.limits
    name = "kaizen_http_requests_total"
    lines = family(name, "counter", "Requests answered.", counts(name, ("route", "method", "status"), found.requests))
    name = "kaizen_rate_limited_total"
    lines += family(name, "counter", "Requests refused for their rate.", counts(name, ("by",), limited.refused))
    name = "kaizen_sign_in_failures_total"
    lines += family(name, "counter", "Sign-ins that failed.", [sample(name, {}, context.auth.sign_in_failures)])
    name = "kaizen_connections_turned_away_total"
    help_ = "Connections that were ended before they had said anything: no room, silent longest, no head in time."
    lines += family(name, "counter", help_, [sample(name, {"why": why}, n) for why, n in turned_away.items()])
    name = "kaizen_live_streams"
    return lines + family(name, "gauge", "Pages that watch live rows.", [sample(name, {}, context.live.readers)])


def _rows(context: Context) -> list[str]:
    found = context.metrics
    name = "kaizen_verdicts_total"
    lines = family(
        name,
        "counter",
        "Rows kept, by decision and whose word they are.",
        counts(name, ("decision", "origin"), found.verdicts),
    )
    name = "kaizen_flagged_verdicts_total"
    lines += family(name, "counter", "Rows kept that carry findings.", [sample(name, {}, found.flagged)])
    name = "kaizen_duplicate_reports_total"
    lines += family(name, "counter", "Rows that were there before.", [sample(name, {}, found.duplicates)])
    name = "kaizen_store_seconds"
    samples = [
        line for which, histogram in found.store.items() for line in histogram.samples(name, {"operation": which})
    ]
    return lines + family(name, "histogram", "How long the store took, in seconds.", samples)


def _reasoning(context: Context) -> list[str]:
    counted = context.reasoning.counted
    name = "kaizen_reasoning_total"
    outcomes = (usage.QUESTIONS, usage.CACHED, usage.CALLS, *usage.WORDS, usage.UNSURE, *usage.FAILURES, *usage.SKIPPED)
    samples = [sample(name, {"what": outcome}, counted[outcome]) for outcome in outcomes]
    lines = family(name, "counter", "Questions to reasoning models, and what came of them.", samples)
    name = "kaizen_reasoning_tokens_total"
    samples = [
        sample(name, {"direction": word}, counted[of]) for word, of in (("in", usage.INPUT), ("out", usage.OUTPUT))
    ]
    return lines + family(name, "counter", "Tokens that reasoning models were sent, and answered with.", samples)


async def _held(context: Context) -> list[str]:
    kept = await context.call(context.store.holds.counts, now=context.clock())
    name = "kaizen_holds"
    samples = [sample(name, {"state": state}, count) for state, count in sorted(kept.items())]
    lines = family(name, "gauge", "Held actions that are kept, by state; those that wait are asked about now.", samples)
    name = "kaizen_held_verdicts_total"
    help_ = "Actions that observers reported as held, of kaizen_verdicts_total: the share of calls that were held."
    lines += family(name, "counter", help_, [sample(name, {}, context.metrics.held)])
    name = "kaizen_hold_seconds"
    samples = list(context.metrics.hold_seconds.samples(name, {}))
    return lines + family(name, "histogram", "How long an action waited until a person answered.", samples)


async def _exports(context: Context) -> list[str]:
    health = await context.exports.health()
    name = "kaizen_export_deliveries_total"
    lines = family(
        name,
        "counter",
        "Rows sent, attempts failed, rows put aside.",
        counts(name, ("kind", "outcome"), health.outcomes),
    )
    gauges = (
        ("kaizen_export_pending", "Rows that wait, counted up to 10,000 an export.", health.pending),
        ("kaizen_export_lag_seconds", "Age of the oldest row that waits for any export.", health.lag),
        ("kaizen_export_parked", "Rows put aside because their receiver refused them.", health.parked),
    )
    for name, help_, values in gauges:
        lines += family(name, "gauge", help_, [sample(name, {"kind": kind}, value) for kind, value in values.items()])
    return lines
