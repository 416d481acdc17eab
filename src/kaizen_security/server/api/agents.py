"""``/v1/agents``: what they declare, how they are set, what they normally do.

An agent's name may arrive unencoded, with spaces and slashes in it: it is everything between ``/v1/agents/`` and the last segment.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kaizen_security.contract.action import Json
from kaizen_security.contract.codec import decode_declaration
from kaizen_security.contract.declared import compile_declaration
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import MAX_NAME, boolean, plain, text
from kaizen_security.contract.verdict import Mode
from kaizen_security.server.api import documents
from kaizen_security.server.context import Context
from kaizen_security.server.http import answer, not_found, read_object


def routes(context: Context) -> list[Route]:
    """Declarations, settings, profiles; what is forgotten and deleted."""
    # The longer paths first: an agent's name may have slashes in it.
    return [*_kept(context), *_gone(context)]


def _kept(context: Context) -> list[Route]:

    async def manifest(request: Request) -> Response:
        principal = await context.auth.principal(request)
        if principal.user is not None:
            principal.require_admin()
        name = principal.agent(_name(request))
        declaration = decode_declaration(await read_object(request), field="manifest")
        # Refused here rather than kept and ignored: an entry that cannot be read would silently declare nothing.
        compile_declaration(declaration)
        found = await context.call(context.store.declare, principal.organisation, name, declaration, at=context.clock())
        await context.changed(principal.organisation, name)
        return answer(documents.agent(found))

    async def profiles(request: Request) -> Response:
        principal = await context.auth.principal(request)
        found = await context.call(context.store.agents, principal.organisation)
        return answer({"profiles": [documents.agent(one) for one in found if principal.bound_agent in ("", one.name)]})

    async def profile(request: Request) -> Response:
        principal = await context.auth.principal(request)
        name = principal.agent(_name(request))
        found = await context.call(context.store.agent, principal.organisation, name)
        if found is None:
            raise not_found("there is no such agent")
        await context.evaluator.prepare(principal.organisation, name)
        learned = context.evaluator.inspector.profile(name, organisation=str(principal.organisation))
        return answer({**documents.agent(found), "profile": learned})

    async def settings(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_admin()
        name = _name(request)
        document = await read_object(request)
        found = await context.call(
            context.store.settings,
            principal.organisation,
            name,
            at=context.clock(),
            mode=_mode(document),
            paused=_maybe(document, "paused"),
            judge_enabled=_maybe(document, "judge_enabled"),
        )
        await context.changed(principal.organisation, name)
        return answer(documents.agent(found))

    return [
        Route("/v1/agents/profiles", profiles, methods=["GET"]),
        Route("/v1/agents/{agent:path}/manifest", manifest, methods=["POST"]),
        Route("/v1/agents/{agent:path}/profile", profile, methods=["GET"]),
        Route("/v1/agents/{agent:path}/settings", settings, methods=["POST"]),
    ]


def _gone(context: Context) -> list[Route]:
    async def reset(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_admin()
        name = _name(request)
        if not await context.forget(principal.organisation, name):
            raise not_found("there is no such agent")
        return answer({"agent": name, "reset": True})

    async def delete(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_admin()
        name = _name(request)
        gone = await context.delete(principal.organisation, name)
        if gone is None:
            raise not_found("there is no such agent")
        return answer(documents.deleted(name, gone))

    return [
        Route("/v1/agents/{agent:path}/reset", reset, methods=["POST"]),
        Route("/v1/agents/{agent:path}", delete, methods=["DELETE"]),
    ]


def _name(request: Request) -> str:
    name = plain(request.path_params["agent"], "agent", limit=MAX_NAME)
    if not name.strip():
        raise InvalidInput("agent", "must say something")
    return name


def _maybe(document: dict[str, Json], key: str) -> bool | None:
    return None if document.get(key) is None else boolean(document, key)


def _mode(document: dict[str, Json]) -> Mode | None:
    said = text(document, "mode", limit=16)
    if said not in ("", *Mode):
        raise InvalidInput("mode", f"must be one of {', '.join(Mode)}")
    return Mode(said) if said else None
