"""``/healthz``: the process answers. ``/readyz``: it can also keep what it is given."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kaizen_security.server.context import Context
from kaizen_security.server.http import answer


def routes(context: Context) -> list[Route]:
    """Both need no key and tell nothing but how the server is."""

    async def health(request: Request) -> Response:
        return answer({"status": "ok"})

    async def ready(request: Request) -> Response:
        await context.call(context.store.check_writable)
        return answer({"status": "ready"})

    return [Route("/healthz", health, methods=["GET"]), Route("/readyz", ready, methods=["GET"])]
