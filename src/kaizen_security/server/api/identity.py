"""Who one is, signing in, and API keys."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import rfc3339
from kaizen_security.server.api import bodies, documents, people_answers
from kaizen_security.server.api.answers import Caller
from kaizen_security.server.auth import SESSION_SECONDS
from kaizen_security.server.context import Context
from kaizen_security.server.http import answer, not_found
from kaizen_security.server.operation import AGENTS, Answer, Nothing, Operation, Segment
from kaizen_security.server.setup import make_key
from kaizen_security.store.base import Scope

KEY_ID = Segment(name="id", missing="there is no such live key")
WHOAMI = Operation("GET /v1/whoami", "whoami", "who the caller is", Nothing, (Answer(Caller),), tags=(AGENTS,))
SIGN_IN = Operation(
    "POST /v1/sessions",
    "signIn",
    "sign in, for programs; people use the console",
    bodies.Credentials,
    (Answer(people_answers.Session, 201),),
    public=True,
)
SIGN_OUT = Operation(
    "DELETE /v1/sessions", "signOut", "end the session that asks", Nothing, (Answer(people_answers.SignedOut),)
)
KEYS = Operation(
    "GET /v1/keys",
    "keys",
    "the organisation's API keys, without the keys themselves",
    Nothing,
    (Answer(people_answers.Keys),),
)
CREATE_KEY = Operation(
    "POST /v1/keys",
    "createKey",
    "make an API key; it is shown in this answer and never again",
    bodies.NewKey,
    (Answer(people_answers.MadeKey, 201),),
)
REVOKE_KEY = Operation(
    "DELETE /v1/keys/{id}",
    "revokeKey",
    "end a key",
    Nothing,
    (Answer(people_answers.Revoked),),
    parameters=(KEY_ID,),
)


def routes(context: Context) -> list[Route]:
    """Identity of callers, for themselves and for administrators."""
    return [*_callers(context), *_keys(context)]


def _callers(context: Context) -> list[Route]:
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
        said = await SIGN_IN.read(request)
        address = request.client.host if request.client else ""
        token = await context.auth.sign_in(said.user or "", said.password or "", address=address)
        return answer({"token": token, "expires_at": rfc3339(context.clock() + SESSION_SECONDS)}, 201)

    async def sign_out(request: Request) -> Response:
        await context.auth.principal(request)
        token = request.headers.get("authorization", "").partition(" ")[2].strip()
        await context.auth.sign_out(token or request.cookies.get("kaizen_session", ""))
        return answer({"signed_out": True})

    return [WHOAMI.route(whoami), SIGN_IN.route(sign_in), SIGN_OUT.route(sign_out)]


def _keys(context: Context) -> list[Route]:
    async def keys(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_user()
        found = await context.call(context.store.keys, principal.organisation)
        return answer({"keys": [documents.key(one) for one in found]})

    async def create_key(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_admin()
        said = await CREATE_KEY.read(request)
        name = said.name.strip()
        if not name:
            raise InvalidInput("name", "must say what the key is for")
        token, key = make_key(
            principal.organisation,
            name=name,
            scope=Scope(said.scope or Scope.AGENT),
            agent=said.agent or "",
            at=context.clock(),
        )
        await context.call(context.store.create_key, key)
        context.auth.forget_keys()
        return answer({**documents.key(key), "key": token}, 201)

    async def revoke_key(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_admin()
        key_id = KEY_ID.of(request)
        if not await context.revoke_key(principal.organisation, key_id):
            raise not_found("there is no such live key")
        return answer({"id": key_id, "revoked": True})

    return [KEYS.route(keys), CREATE_KEY.route(create_key), REVOKE_KEY.route(revoke_key)]
