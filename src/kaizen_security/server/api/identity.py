"""Who one is, signing in, and API keys."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import MAX_NAME, rfc3339, text
from kaizen_security.server import passwords
from kaizen_security.server.api import documents
from kaizen_security.server.auth import SESSION_SECONDS
from kaizen_security.server.context import Context
from kaizen_security.server.http import answer, not_found, read_object
from kaizen_security.server.setup import make_key
from kaizen_security.store.base import Scope


def routes(context: Context) -> list[Route]:
    """Identity of callers, for themselves and for administrators."""

    async def whoami(request: Request) -> Response:
        principal = await context.auth.principal(request)
        organisation = await context.organisation(principal.organisation)
        return answer(
            {
                "organisation": organisation.name,
                "organisation_id": organisation.public_id,
                "scope": principal.scope,
                "agent": principal.bound_agent or None,
                "user": None if principal.user is None else principal.user.name,
                "role": None if principal.user is None else principal.user.role.value,
            }
        )

    async def sign_in(request: Request) -> Response:
        document = await read_object(request)
        name = text(document, "user", limit=MAX_NAME)
        password = text(document, "password", limit=passwords.MAX_PASSWORD)
        address = request.client.host if request.client else ""
        token = await context.auth.sign_in(name, password, address=address)
        return answer({"token": token, "expires_at": rfc3339(context.clock() + SESSION_SECONDS)}, 201)

    async def sign_out(request: Request) -> Response:
        await context.auth.principal(request)
        token = request.headers.get("authorization", "").partition(" ")[2].strip()
        await context.auth.sign_out(token or request.cookies.get("kaizen_session", ""))
        return answer({"signed_out": True})

    async def keys(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_user()
        found = await context.call(context.store.keys, principal.organisation)
        return answer({"keys": [documents.key(one) for one in found]})

    async def create_key(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_admin()
        document = await read_object(request)
        name = text(document, "name", limit=MAX_NAME).strip()
        if not name:
            raise InvalidInput("name", "must say what the key is for")
        scope = text(document, "scope", limit=16) or Scope.AGENT.value
        if scope not in tuple(Scope):
            raise InvalidInput("scope", f"must be one of {', '.join(Scope)}")
        token, key = make_key(
            principal.organisation,
            name=name,
            scope=Scope(scope),
            agent=text(document, "agent", limit=MAX_NAME),
            at=context.clock(),
        )
        await context.call(context.store.create_key, key)
        context.auth.forget_keys()
        return answer({**documents.key(key), "key": token}, 201)

    async def revoke_key(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_admin()
        key_id = request.path_params["id"]
        if not await context.revoke_key(principal.organisation, key_id):
            raise not_found("there is no such live key")
        return answer({"id": key_id, "revoked": True})

    return [
        Route("/v1/whoami", whoami, methods=["GET"]),
        Route("/v1/sessions", sign_in, methods=["POST"]),
        Route("/v1/sessions", sign_out, methods=["DELETE"]),
        Route("/v1/keys", keys, methods=["GET"]),
        Route("/v1/keys", create_key, methods=["POST"]),
        Route("/v1/keys/{id}", revoke_key, methods=["DELETE"]),
    ]
