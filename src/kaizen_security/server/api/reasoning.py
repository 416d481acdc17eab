"""``/v1/llm-config`` and ``/v1/judge/usage``: which model is asked, whether it answers, what it has cost."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kaizen_security.server.context import Context
from kaizen_security.server.http import answer, forbidden, read_object
from kaizen_security.server.reasoning import document


def routes(context: Context) -> list[Route]:
    """The organisation's model. Only administrators change or test it."""
    reasoning = context.reasoning

    async def show(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_user()
        organisation = principal.organisation
        return answer(document(reasoning.choice(organisation), reasoning.state(organisation)))

    async def change(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_admin()
        organisation = principal.organisation
        chosen = await reasoning.change(organisation, await read_object(request))
        return answer(document(chosen, reasoning.state(organisation)))

    async def test(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_admin()
        return answer((await reasoning.test(principal.organisation)).to_json())

    async def usage(request: Request) -> Response:
        principal = await context.auth.principal(request)
        if principal.bound_agent:
            raise forbidden("this API key is bound to one agent, and these counts are of all of them")
        return answer(await reasoning.usage(principal.organisation))

    return [
        Route("/v1/llm-config", show, methods=["GET"]),
        Route("/v1/llm-config", change, methods=["POST"]),
        Route("/v1/llm-config/test", test, methods=["POST"]),
        Route("/v1/judge/usage", usage, methods=["GET"]),
    ]
