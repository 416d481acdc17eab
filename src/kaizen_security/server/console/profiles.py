"""The agents' pages: all of them, one with its declaration and settings, and how to attach another."""

from __future__ import annotations

import re
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import MAX_NAME, plain
from kaizen_security.contract.verdict import Mode
from kaizen_security.server.api.documents import attach_points, coverage, reported_profile, verdict_row
from kaizen_security.server.attached import points
from kaizen_security.server.console.agents import learned_view
from kaizen_security.server.console.attached import point_view
from kaizen_security.server.console.connect import snippets
from kaizen_security.server.console.coverage import coverage_view
from kaizen_security.server.console.desk import Desk, address, form
from kaizen_security.server.console.filters import Filters
from kaizen_security.server.console.lines import agent_href
from kaizen_security.server.console.pages import agent_page, agents_page
from kaizen_security.server.console.render import HEADERS, page, wants_json
from kaizen_security.server.console.twin import agent_document, snippets_document
from kaizen_security.server.console.words import ago
from kaizen_security.server.context import Context
from kaizen_security.server.http import answer, not_found
from kaizen_security.server.setup import make_key
from kaizen_security.store.base import Agent, Role, Scope, User

_DONE: Final = {
    "observe": "This agent is now in observe mode.",
    "enforce": "This agent is now in enforce mode.",
    "paused-true": "Nothing of this agent is flagged until you go on.",
    "paused-false": "Its actions are flagged again.",
    "judge_enabled-false": "No model is asked about this agent any more.",
    "judge_enabled-true": "The model is asked about this agent again.",
    "declared": "The declaration is in force.",
    "reset": "Its baseline was forgotten; it learns anew.",
}


def routes(desk: Desk) -> list[Route]:
    """``/agents``, ``/agent?name=``, its settings, ``/connect`` and ``/connect/key``."""
    pages = _Agents(desk.context)
    return [
        Route("/agents", desk.signed_in(pages.all), methods=["GET"]),
        Route("/agent", desk.signed_in(pages.one), methods=["GET"]),
        Route("/agent/settings", desk.signed_in(pages.settings), methods=["POST"]),
        Route("/connect", desk.signed_in(pages.connect), methods=["GET"]),
        Route("/connect/key", desk.signed_in(pages.key), methods=["POST"]),
    ]


class _Agents:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def all(self, request: Request, user: User) -> Response:
        """Every agent with its rung."""
        context = self._context
        found = await context.call(agents_page, context.store, user.organisation, context.clock())
        if wants_json(request):
            return answer({"agents": [agent_document(view, agent) for view, agent in found]}, headers=HEADERS)
        gone = request.query_params.get("deleted", "")
        # A number and nothing else: an address may come from anywhere.
        done = f"The agent was deleted with {int(gone):,} verdicts." if re.fullmatch(r"[0-9]{1,12}", gone) else ""
        return page("agents.html", here="agents", who=user.name, agents=[view for view, _ in found], done=done)

    async def one(self, request: Request, user: User) -> Response:
        """One agent."""
        context = self._context
        agent = await self._agent(request, user)
        found = await context.call(agent_page, context.store, user.organisation, agent, context.clock())
        learned = await self._learned(user, agent)
        told = await context.call(context.store.profiles.of, user.organisation, agent.name)
        attached = await context.call(context.store.attached.of, user.organisation, agent.name)
        measured = await context.call(context.store.coverage.of, user.organisation, agent.name)
        chosen = Filters(agent=agent.name)
        if wants_json(request):
            latest = [verdict_row(row) for row in found.rows]
            said = {
                "agent": agent_document(found.agent, agent),
                "verdicts": latest,
                "profile": learned,
                "sidecars": [reported_profile(one) for one in told],
                "attach_points": attach_points(agent.name, attached, context.clock())["points"],
                "coverage": None if measured is None else coverage(agent.name, measured),
            }
            return answer(said, headers=HEADERS)
        return page(
            "agent.html",
            here="agents",
            who=user.name,
            agent=found.agent,
            declaration=found.declaration,
            coverage=None if measured is None else coverage_view(measured, context.clock()),
            points=[point_view(one, context.clock()) for one in points(attached, context.clock())],
            learned=learned_view(learned),
            told=[(one.sidecar, ago(one.at, context.clock()), learned_view(one.document)) for one in told],
            may_change=user.role is Role.ADMIN,
            steps=found.steps if user.role is Role.ADMIN else (),
            lines=found.lines,
            all=chosen.address(),
            done=_DONE.get(request.query_params.get("done", ""), ""),
            query="",
            opened="",
        )

    async def _learned(self, user: User, agent: Agent) -> dict[str, Json]:
        evaluator = self._context.evaluator
        await evaluator.prepare(user.organisation, agent.name)
        profile = evaluator.inspector.profile
        return await self._context.call(lambda: profile(agent.name, organisation=str(user.organisation)))

    async def settings(self, request: Request, user: User) -> Response:
        """Change its mode, pause it, or ask no model about it."""
        agent = await self._agent(request, user)
        said = await form(request)
        mode, paused, judged = (said.get(name, "") for name in ("mode", "paused", "judge_enabled"))
        switches = ("", "true", "false")
        known = mode in ("", *Mode) and paused in switches and judged in switches
        if not known or not (mode or paused or judged):
            raise InvalidInput(
                "settings", "must be a mode (observe, enforce), or paused or judge_enabled (true, false)"
            )
        await self._context.call(
            self._context.store.settings,
            user.organisation,
            agent.name,
            at=self._context.clock(),
            mode=Mode(mode) if mode else None,
            paused=None if not paused else paused == "true",
            judge_enabled=None if not judged else judged == "true",
        )
        await self._context.changed(user.organisation, agent.name)
        switched = {"paused": paused, "judge_enabled": judged}
        done = mode or next(f"{name}-{value}" for name, value in switched.items() if value)
        return RedirectResponse(f"{agent_href(agent.name)}&done={done}", 303, HEADERS)

    async def _agent(self, request: Request, user: User) -> Agent:
        name = plain(request.query_params.get("name", ""), "name", limit=MAX_NAME)
        agent = await self._context.call(self._context.store.agent, user.organisation, name)
        if agent is None:
            raise not_found("there is no agent of that name")
        return agent

    async def connect(self, request: Request, user: User) -> Response:
        """What to type to attach an agent, and whether it was seen."""
        name = plain(request.query_params.get("agent", ""), "agent", limit=MAX_NAME) or "my-agent"
        return await self._connect(request, user, name)

    async def key(self, request: Request, user: User) -> Response:
        """Make a key that speaks for one agent, and show it this once: in this very answer, which nothing keeps."""
        name = plain((await form(request)).get("agent", ""), "agent", limit=MAX_NAME)
        if not name.strip():
            raise InvalidInput("agent", "must say something")
        context = self._context
        token, key = make_key(user.organisation, name=name, scope=Scope.SDK, agent=name, at=context.clock())
        await context.call(context.store.create_key, key)
        context.auth.forget_keys()
        return await self._connect(request, user, name, key=token)

    async def _connect(self, request: Request, user: User, name: str, *, key: str = "") -> Response:
        context = self._context
        agent = await context.call(context.store.agent, user.organisation, name)
        seen = agent.last_seen if agent is not None else 0.0
        texts = snippets(name, address(request, secure=context.auth.secure), key=key)
        if wants_json(request):
            return answer(snippets_document(name, texts, seen=seen), headers=HEADERS)
        here = Filters(agent=name)
        return page(
            "connect.html",
            here="connect",
            who=user.name,
            agent=name,
            snippets=texts,
            made=bool(key),
            may_change=user.role is Role.ADMIN,
            seen=ago(seen, context.clock()) if seen else "",
            check=here.address("/connect"),
            live=here.address("/verdicts/live"),
            agent_href=agent_href(name),
        )
