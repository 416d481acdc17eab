"""The team's page: who may sign in, and as what."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from kaizen_security.contract.errors import KaizenError
from kaizen_security.server import team
from kaizen_security.server.api import documents
from kaizen_security.server.console.desk import Desk, form
from kaizen_security.server.console.render import HEADERS, page, wants_json
from kaizen_security.server.console.words import ago
from kaizen_security.server.context import Context
from kaizen_security.server.http import answer, as_api_error
from kaizen_security.store.base import Role, User

ROLES: Final = (
    (Role.VIEWER.value, "Viewer", "sees everything, changes nothing"),
    (Role.ADMIN.value, "Administrator", "also triages, changes policies, keys, agents and the team"),
)
_DONE: Final = {
    "role": "The role was changed: it holds from now on.",
    "removed": "They may sign in no more, and were signed out.",
}


def routes(desk: Desk) -> list[Route]:
    """``/team`` and what changes it."""
    pages = _Team(desk.context)
    return [
        Route("/team", desk.signed_in(pages.show), methods=["GET"]),
        Route("/team", desk.signed_in(pages.add), methods=["POST"]),
        Route("/team/role", desk.signed_in(pages.role), methods=["POST"]),
        Route("/team/password", desk.signed_in(pages.password), methods=["POST"]),
        Route("/team/remove", desk.signed_in(pages.remove), methods=["POST"]),
    ]


class _Team:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def show(self, request: Request, user: User) -> Response:
        """Everybody, without passwords."""
        return await self._page(request, user)

    async def add(self, request: Request, user: User) -> Response:
        """Let somebody else sign in; the password is shown this once, in this very answer."""
        said = await form(request)
        try:
            name, role = team.name_of(said.get("name", "")), team.role_of(said.get("role", ""))
            made = await team.add(self._context, user.organisation, name, role)
        except KaizenError as err:
            return await self._page(request, user, typed=said, problem=err)
        return await self._page(request, user, made=made)

    async def role(self, request: Request, user: User) -> Response:
        """Change what somebody may do."""
        said = await form(request)
        try:
            role = team.role_of(said.get("role", ""))
            await team.change_role(self._context, user.organisation, said.get("name", ""), role)
        except KaizenError as err:
            return await self._page(request, user, problem=err)
        return RedirectResponse("/team?done=role", 303, HEADERS)

    async def password(self, request: Request, user: User) -> Response:
        """Give somebody a new password, shown this once; they are signed out."""
        try:
            made = await team.renew(self._context, user.organisation, (await form(request)).get("name", ""))
        except KaizenError as err:
            return await self._page(request, user, problem=err)
        return await self._page(request, user, made=made)

    async def remove(self, request: Request, user: User) -> Response:
        """Somebody is no longer of the team."""
        try:
            await team.remove(self._context, user.organisation, (await form(request)).get("name", ""))
        except KaizenError as err:
            return await self._page(request, user, problem=err)
        return RedirectResponse("/team?done=removed", 303, HEADERS)

    async def _page(
        self,
        request: Request,
        user: User,
        *,
        made: team.Welcome | None = None,
        typed: dict[str, str] | None = None,
        problem: KaizenError | None = None,
    ) -> Response:
        context = self._context
        found = await context.call(context.store.users, user.organisation)
        if wants_json(request):
            if problem is not None:
                raise problem
            shown_once = {"password": made.password} if made is not None else {}
            return answer({"users": [documents.person(one) for one in found], **shown_once}, headers=HEADERS)
        now = context.clock()
        shown = page(
            "team.html",
            here="team",
            who=user.name,
            may_change=user.role is Role.ADMIN,
            people=[
                {"name": one.name, "role": one.role.value, "since": ago(one.created_at, now), "me": one.id == user.id}
                for one in found
            ],
            roles=ROLES,
            typed={"name": "", "role": Role.VIEWER.value} | (typed or {}),
            made=made,
            problem=str(problem or ""),
            done=_DONE.get(request.query_params.get("done", ""), ""),
        )
        if problem is not None:
            shown.status_code = as_api_error(problem).status
        return shown
