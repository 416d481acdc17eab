"""``/healthz``: the process answers. ``/readyz``: it can also keep what it is given."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kaizen_security.server.api.answers import Status
from kaizen_security.server.context import Context
from kaizen_security.server.http import answer
from kaizen_security.server.operation import HEALTH, Answer, Nothing, Operation

LIVE = Operation(
    "GET /healthz", "health", "the process answers", Nothing, (Answer(Status),), tags=(HEALTH,), public=True
)
READY = Operation(
    "GET /readyz", "ready", "it can also keep what it is given", Nothing, (Answer(Status),), tags=(HEALTH,), public=True
)


def routes(context: Context) -> list[Route]:
    """Both need no key and tell nothing but how the server is."""

    async def health(request: Request) -> Response:
        return answer({"status": "ok"})

    async def ready(request: Request) -> Response:
        await context.call(context.store.check_writable)
        return answer({"status": "ready"})

    return [LIVE.route(health), READY.route(ready)]
