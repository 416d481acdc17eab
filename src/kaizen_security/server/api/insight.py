"""``/v1/score`` and ``/v1/metrics/timeseries``: answers that change nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import MAX_NAME, text
from kaizen_security.server import score as scoring
from kaizen_security.server.context import Context
from kaizen_security.server.http import answer, forbidden, number, read_object

MAX_DAYS = 366


def routes(context: Context) -> list[Route]:
    """Stateless scoring, counts by day."""

    async def score(request: Request) -> Response:
        principal = await context.auth.principal(request)
        document = await read_object(request)
        principal.agent(text(document, "agent", limit=MAX_NAME))
        said = {name: text(document, name, limit=scoring.MAX_TEXT) for name in ("declaration", "trace", "egress")}
        feed = text(document, "feed", limit=16) or "egress"
        if feed not in ("egress", "content"):
            raise InvalidInput("feed", "must be egress or content")
        if text(document, "mode", limit=16) not in ("", "score"):
            raise InvalidInput("mode", "must be score")
        # Beside the event loop: the texts may be long, and a dozen callers come at once.
        found = await context.call(scoring.score, **said, feed=feed)
        return answer({"decision": found.decision.value, "reason": found.reason, "confidence": found.confidence})

    async def timeseries(request: Request) -> Response:
        principal = await context.auth.principal(request)
        if principal.bound_agent:
            raise forbidden("this API key is bound to one agent, and these counts are of all of them")
        days = number(request, "days", default=30, low=1, high=MAX_DAYS)
        today = datetime.fromtimestamp(context.clock(), UTC).date()
        wanted = [(today - timedelta(days=back)).isoformat() for back in range(days - 1, -1, -1)]
        found = await context.call(context.store.days, principal.organisation, since=wanted[0])
        counts: dict[str, dict[str, Json]] = {
            day.day: {
                "actions": day.actions,
                "anomalies": day.flagged,
                "blocked": day.blocked,
                "reviews": day.reviews,
            }
            for day in found
        }
        nothing: dict[str, Json] = {"actions": 0, "anomalies": 0, "blocked": 0, "reviews": 0}
        return answer({"days": [{"day": day, **counts.get(day, nothing)} for day in wanted]})

    return [
        Route("/v1/score", score, methods=["POST"]),
        Route("/v1/metrics/timeseries", timeseries, methods=["GET"]),
    ]
