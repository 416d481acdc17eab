"""The people of an organisation, for people."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kaizen_security.contract.fields import MAX_NAME, text
from kaizen_security.server import team
from kaizen_security.server.api import documents
from kaizen_security.server.context import Context
from kaizen_security.server.http import answer, read_object


def routes(context: Context) -> list[Route]:
    """Who may sign in, and as what. Everybody sees it; administrators change it."""

    async def listing(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_user()
        found = await context.call(context.store.users, principal.organisation)
        return answer({"users": [documents.person(one) for one in found]})

    async def add(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_admin()
        document = await read_object(request)
        name = team.name_of(text(document, "name", limit=MAX_NAME))
        role = team.role_of(text(document, "role", limit=16) or "viewer")
        made = await team.add(context, principal.organisation, name, role)
        return answer({**documents.person(made.user), "password": made.password}, 201)

    async def change(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_admin()
        role = team.role_of(text(await read_object(request), "role", limit=16))
        changed = await team.change_role(context, principal.organisation, request.path_params["name"], role)
        return answer(documents.person(changed))

    async def password(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_admin()
        made = await team.renew(context, principal.organisation, request.path_params["name"])
        return answer({**documents.person(made.user), "password": made.password})

    async def remove(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_admin()
        name = request.path_params["name"]
        await team.remove(context, principal.organisation, name)
        return answer({"name": name, "removed": True})

    return [
        Route("/v1/users", listing, methods=["GET"]),
        Route("/v1/users", add, methods=["POST"]),
        Route("/v1/users/{name:path}/password", password, methods=["POST"]),
        Route("/v1/users/{name:path}", change, methods=["POST"]),
        Route("/v1/users/{name:path}", remove, methods=["DELETE"]),
    ]
