"""The keys' page: which there are, a new one shown once, an old one revoked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from kaizen_security.contract.errors import InvalidInput, KaizenError
from kaizen_security.contract.fields import MAX_NAME, plain
from kaizen_security.server.api import documents
from kaizen_security.server.console.desk import Desk, form
from kaizen_security.server.console.render import HEADERS, page, wants_json
from kaizen_security.server.console.words import ago
from kaizen_security.server.context import Context
from kaizen_security.server.http import answer, as_api_error, not_found
from kaizen_security.server.setup import make_key
from kaizen_security.store.base import Key, Role, Scope, User

MAX_SHOWN: Final = 500
"""Keys on the page: the live ones first, then the newest."""
SCOPES: Final = (
    (
        Scope.SDK.value,
        "SDK",
        "for an agent's own code: reports, declares and reads; its verdicts are claims, which this server evaluates",
    ),
    (
        Scope.COLLECTOR.value,
        "Collector",
        "for an egress proxy or another feed beside the agent: reports what it saw, and is believed",
    ),
    (
        Scope.AGENT.value,
        "Agent",
        "for deployed clients and proxies that share one key: both of these, so its agent could also say what a proxy saw",
    ),
    (Scope.OBSERVER.value, "Observer", "for a sidecar: the same, and its verdicts are the verdict"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyView:
    """A key in the list."""

    id: str
    name: str
    prefix: str
    scope: str
    agent: str
    made: str
    used: str
    live: bool


def key_view(key: Key, now: float) -> KeyView:
    """``key`` as seen at ``now`` (Unix seconds)."""
    return KeyView(
        id=key.id,
        name=key.name,
        prefix=key.prefix,
        scope=key.scope.value,
        agent=key.agent,
        made=ago(key.created_at, now),
        used=ago(key.last_used_at, now),
        live=not key.revoked_at,
    )


def routes(desk: Desk) -> list[Route]:
    """``/keys`` and ``/keys/revoke``."""
    pages = _Keys(desk.context)
    return [
        Route("/keys", desk.signed_in(pages.show), methods=["GET"]),
        Route("/keys", desk.signed_in(pages.create), methods=["POST"]),
        Route("/keys/revoke", desk.signed_in(pages.revoke), methods=["POST"]),
    ]


class _Keys:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def show(self, request: Request, user: User) -> Response:
        """Every key, without the key itself."""
        return await self._page(request, user)

    async def create(self, request: Request, user: User) -> Response:
        """Make a key and show it this once: in this very answer, which nothing keeps."""
        said = await form(request)
        context = self._context
        try:
            name = plain(said.get("name", "").strip(), "name", limit=MAX_NAME)
            agent = plain(said.get("agent", "").strip(), "agent", limit=MAX_NAME)
            if not name:
                raise InvalidInput("name", "must say what the key is for")
            if said.get("scope", "") not in tuple(Scope):
                raise InvalidInput("scope", f"must be one of {', '.join(Scope)}")
        except KaizenError as err:
            return await self._page(request, user, typed=said, problem=err)
        token, key = make_key(user.organisation, name=name, scope=Scope(said["scope"]), agent=agent, at=context.clock())
        await context.call(context.store.create_key, key)
        context.auth.forget_keys()
        return await self._page(request, user, made=token, made_for=name)

    async def revoke(self, request: Request, user: User) -> Response:
        """End a key."""
        context = self._context
        key = (await form(request)).get("id", "")
        if not await context.revoke_key(user.organisation, key):
            raise not_found("there is no such live key")
        return RedirectResponse("/keys?done=revoked", 303, HEADERS)

    async def _page(
        self,
        request: Request,
        user: User,
        *,
        made: str = "",
        made_for: str = "",
        typed: dict[str, str] | None = None,
        problem: KaizenError | None = None,
    ) -> Response:
        context = self._context
        found = await context.call(context.store.keys, user.organisation)
        if wants_json(request):
            if problem is not None:
                raise problem
            document = {"keys": [documents.key(key) for key in found]} | ({"key": made} if made else {})
            return answer(document, headers=HEADERS)
        now = context.clock()
        ordered = sorted(found, key=lambda key: (key.revoked_at > 0, -key.created_at))
        shown = page(
            "keys.html",
            here="keys",
            who=user.name,
            may_change=user.role is Role.ADMIN,
            keys=[key_view(key, now) for key in ordered[:MAX_SHOWN]],
            more=max(0, len(ordered) - MAX_SHOWN),
            scopes=SCOPES,
            typed={"name": "", "scope": "sdk", "agent": ""} | (typed or {}),
            made=made,
            made_for=made_for,
            problem=str(problem or ""),
            done="The key was revoked: it is refused from now on." if request.query_params.get("done") else "",
        )
        if problem is not None:
            shown.status_code = as_api_error(problem).status
        return shown
