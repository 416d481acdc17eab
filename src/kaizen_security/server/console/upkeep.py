"""What a person changes of an agent besides its settings: what it declares, what it has learned, that it is kept at all."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from kaizen_security.contract.codec import decode_declaration
from kaizen_security.contract.declaration import DataClass
from kaizen_security.contract.declared import compile_declaration
from kaizen_security.contract.errors import KaizenError
from kaizen_security.contract.fields import MAX_NAME, plain
from kaizen_security.server.console.desk import Desk, form
from kaizen_security.server.console.lines import agent_href
from kaizen_security.server.console.lists import MAX_LIST_FORM, entries
from kaizen_security.server.console.render import HEADERS, page
from kaizen_security.server.context import Context
from kaizen_security.server.http import as_api_error, not_found
from kaizen_security.store.base import Agent, Role, User


def routes(desk: Desk) -> list[Route]:
    """``/agent/declaration``, ``/agent/reset`` and ``/agent/delete``; the last has a page that asks first."""
    pages = _Upkeep(desk.context)
    return [
        Route("/agent/declaration", desk.signed_in(pages.editor), methods=["GET"]),
        Route("/agent/declaration", desk.signed_in(pages.declare), methods=["POST"]),
        Route("/agent/reset", desk.signed_in(pages.reset), methods=["POST"]),
        Route("/agent/delete", desk.signed_in(pages.ask), methods=["GET"]),
        Route("/agent/delete", desk.signed_in(pages.delete), methods=["POST"]),
    ]


class _Upkeep:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def _agent(self, request: Request, user: User) -> Agent:
        name = plain(request.query_params.get("name", ""), "name", limit=MAX_NAME)
        agent = await self._context.call(self._context.store.agent, user.organisation, name)
        if agent is None:
            raise not_found("there is no agent of that name")
        return agent

    async def editor(self, request: Request, user: User) -> Response:
        """What the agent declares, to be changed."""
        agent = await self._agent(request, user)
        declared = agent.declaration
        return self._editor(
            user,
            agent,
            {
                "purpose": declared.purpose,
                "tools": "\n".join(declared.tools),
                "destinations": "\n".join(declared.destinations),
                "data": "\n".join(declared.data),
            },
        )

    async def declare(self, request: Request, user: User) -> Response:
        """Replace what the agent declares."""
        context = self._context
        agent = await self._agent(request, user)
        said = await form(request, limit=MAX_LIST_FORM)
        try:
            declaration = decode_declaration(
                {
                    "tools": [*entries(said.get("tools", ""))],
                    "destinations": [*entries(said.get("destinations", ""))],
                    "purpose": " ".join(said.get("purpose", "").split()),
                    "data": [*entries(said.get("data", ""))],
                },
                field="declaration",
            )
            await context.aside(compile_declaration, declaration)
        except KaizenError as err:
            return self._editor(user, agent, said, problem=err)
        await context.declare(user.organisation, agent.name, declaration)
        return RedirectResponse(f"{agent_href(agent.name)}&done=declared", 303, HEADERS)

    def _editor(
        self, user: User, agent: Agent, said: dict[str, str], *, problem: KaizenError | None = None
    ) -> Response:
        shown = page(
            "declaration.html",
            here="agents",
            who=user.name,
            name=agent.name,
            back=agent_href(agent.name),
            href=agent_href(agent.name, "/agent/declaration"),
            typed={"purpose": "", "tools": "", "destinations": "", "data": ""} | said,
            classes=", ".join(DataClass),
            may_change=user.role is Role.ADMIN,
            problem=str(problem or ""),
        )
        if problem is not None:
            shown.status_code = as_api_error(problem).status
        return shown

    async def reset(self, request: Request, user: User) -> Response:
        """Forget what the agent normally does."""
        agent = await self._agent(request, user)
        await self._context.forget(user.organisation, agent.name)
        return RedirectResponse(f"{agent_href(agent.name)}&done=reset", 303, HEADERS)

    async def ask(self, request: Request, user: User) -> Response:
        """Say what would be deleted, and ask."""
        agent = await self._agent(request, user)
        keys = await self._context.call(self._context.store.keys, user.organisation)
        return page(
            "delete.html",
            here="agents",
            who=user.name,
            name=agent.name,
            back=agent_href(agent.name),
            href=agent_href(agent.name, "/agent/delete"),
            actions=agent.actions,
            keys=sum(key.agent == agent.name and not key.revoked_at for key in keys),
            may_change=user.role is Role.ADMIN,
        )

    async def delete(self, request: Request, user: User) -> Response:
        """Delete all that is kept of the agent."""
        agent = await self._agent(request, user)
        gone = await self._context.delete(user.organisation, agent.name)
        if gone is None:
            raise not_found("there is no agent of that name")
        return RedirectResponse(f"/agents?deleted={gone.verdicts}", 303, HEADERS)
