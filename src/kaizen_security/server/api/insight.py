"""``/v1/score`` and ``/v1/metrics/timeseries``: answers that change nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kaizen_security.contract.action import Json
from kaizen_security.server import score as scoring
from kaizen_security.server.api import answers, bodies
from kaizen_security.server.context import Context
from kaizen_security.server.http import answer, forbidden
from kaizen_security.server.operation import AGENTS, PEOPLE, Answer, Nothing, Number, Operation

DAYS = Number(name="days", default=30, low=1, high=366)
SCORE = Operation(
    "POST /v1/score",
    "score",
    "compare a declaration, an agent's own account and what the network saw; keeps and learns nothing",
    bodies.Account,
    (Answer(answers.Scored),),
    tags=(AGENTS,),
)
TIMESERIES = Operation(
    "GET /v1/metrics/timeseries",
    "timeseries",
    "counts by day in UTC, oldest first, today last",
    Nothing,
    (Answer(answers.Days),),
    tags=(AGENTS, PEOPLE),
    parameters=(DAYS,),
)


def routes(context: Context) -> list[Route]:
    """Stateless scoring, counts by day."""

    async def score(request: Request) -> Response:
        principal = await context.auth.principal(request)
        said = await SCORE.read(request)
        principal.agent(said.agent or "")
        # Beside the event loop: the texts may be long, and a dozen callers come at once.
        found = await context.call(
            scoring.score,
            declaration=said.declaration or "",
            trace=said.trace or "",
            egress=said.egress or "",
            feed=said.feed or "egress",
        )
        return answer({"decision": found.decision.value, "reason": found.reason, "confidence": found.confidence})

    async def timeseries(request: Request) -> Response:
        principal = await context.auth.principal(request)
        if principal.bound_agent:
            raise forbidden("this API key is bound to one agent, and these counts are of all of them")
        days = DAYS.of(request)
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
        SCORE.route(score),
        TIMESERIES.route(timeseries),
    ]
