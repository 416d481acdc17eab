"""The policies' page: the organisation's own lists, further policies, what is in force, and a trial before a change."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from kaizen_security.contract.action import Json
from kaizen_security.contract.bundle import decode_policy, encode_policy
from kaizen_security.contract.compiled import compile_policies
from kaizen_security.contract.errors import InvalidInput, KaizenError
from kaizen_security.contract.fields import MAX_NAME, plain
from kaizen_security.contract.policy import Policy
from kaizen_security.runtime.counterfactual import Alternative
from kaizen_security.server import bundles
from kaizen_security.server.console import policy_view
from kaizen_security.server.console.desk import Desk, form
from kaizen_security.server.console.lists import MAX_LIST_FORM
from kaizen_security.server.console.render import HEADERS, page, wants_json
from kaizen_security.server.console.trial import Trial, trial
from kaizen_security.server.context import Context
from kaizen_security.server.http import answer, as_api_error, not_found
from kaizen_security.store.base import Role, User

_DONE: Final = {
    "saved": "The organisation's policy is in force.",
    "kept": "The policy is kept.",
    "removed": "The policy was removed.",
}


def routes(desk: Desk) -> list[Route]:
    """``/policies`` and what is done there."""
    pages = _Policies(desk.context)
    return [
        Route("/policies", desk.signed_in(pages.show), methods=["GET"]),
        Route("/policies/organisation", desk.signed_in(pages.organisation), methods=["POST"]),
        Route("/policies/own", desk.signed_in(pages.own), methods=["POST"]),
        Route("/policies/switch", desk.signed_in(pages.switch), methods=["POST"]),
        Route("/policies/remove", desk.signed_in(pages.remove), methods=["POST"]),
    ]


class _Policies:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._trying = asyncio.Lock()  # one trial at a time: each is seconds of work

    async def show(self, request: Request, user: User) -> Response:
        """What is in force, and the forms."""
        name = plain(request.query_params.get("edit", ""), "edit", limit=MAX_NAME)
        return await self._page(user, request, edit=name)

    async def organisation(self, request: Request, user: User) -> Response:
        """Replace the organisation's policy, or (``try``) show what that would have blocked."""
        context = self._context
        said = await form(request, limit=MAX_LIST_FORM)
        try:
            document = bundles.decode_org_policy(policy_view.org_document(said))
            await context.aside(compile_policies, bundles.org_policies(document))
            if "try" in said:
                own = await context.call(context.store.policies, user.organisation)
                return await self._tried(user, request, document, own, org=said)
        except KaizenError as err:
            return await self._page(user, request, org=said, problem=err)
        await context.call(context.store.set_org_policy, user.organisation, document)
        await context.changed(user.organisation)
        return RedirectResponse("/policies?done=saved", 303, HEADERS)

    async def _tried(
        self,
        user: User,
        request: Request,
        document: dict[str, Json],
        own: Sequence[Policy],
        *,
        org: Mapping[str, str] | None = None,
        typed: Mapping[str, str] | None = None,
    ) -> Response:
        """The page with what these would have done to the latest actions; nothing is changed."""
        context = self._context
        then = Alternative(policies=policy_view.beside(document, own), destinations=policy_view.allowed(document))
        async with self._trying:
            done = await context.call(trial, context.store, user.organisation, then, context.clock())
        if wants_json(request):
            return answer(done.document, headers=HEADERS)
        return await self._page(user, request, org=org, own=typed, tried=done)

    async def own(self, request: Request, user: User) -> Response:
        """Keep a policy in place of the one of its name, or (``try``) show what it would have changed."""
        said = await form(request, limit=MAX_LIST_FORM)
        try:
            if "try" in said:
                made = await self._made(policy_view.own_policy(said))
                context = self._context
                kept = await context.call(context.store.policies, user.organisation)
                document = await context.call(context.store.org_policy, user.organisation)
                others = [one for one in kept if one.name != made.name]
                return await self._tried(user, request, document, [*others, made], typed=said)
            await self._keep(user, policy_view.own_policy(said))
        except KaizenError as err:
            return await self._page(user, request, own=said, problem=err)
        return RedirectResponse("/policies?done=kept", 303, HEADERS)

    async def _made(self, said: Policy) -> Policy:
        # Through the wire's own reader, so that a form may say nothing that the API would refuse.
        made = decode_policy(encode_policy(said))
        if not made.name or made.name in (bundles.NAME, bundles.CORRELATION):
            raise InvalidInput("name", "must be a name that is not the organisation's own")
        await self._context.aside(compile_policies, [replace(made, enabled=True)])
        return made

    async def _keep(self, user: User, said: Policy) -> None:
        context = self._context
        made = await self._made(said)
        await context.call(context.store.put_policy, user.organisation, made, at=context.clock())
        await context.changed(user.organisation)

    async def switch(self, request: Request, user: User) -> Response:
        """Put a policy in force, or out of it."""
        said = await form(request)
        found = await self._named(user, said)
        try:
            await self._keep(user, replace(found, enabled=said.get("enabled", "") == "1"))
        except KaizenError as err:
            return await self._page(user, request, problem=err)
        return RedirectResponse("/policies?done=kept", 303, HEADERS)

    async def remove(self, request: Request, user: User) -> Response:
        """Remove a policy."""
        context = self._context
        found = await self._named(user, await form(request))
        await context.call(context.store.delete_policy, user.organisation, found.name)
        await context.changed(user.organisation)
        return RedirectResponse("/policies?done=removed", 303, HEADERS)

    async def _named(self, user: User, said: Mapping[str, str]) -> Policy:
        own = await self._context.call(self._context.store.policies, user.organisation)
        for policy in own:
            if policy.name == said.get("name", ""):
                return policy
        raise not_found("there is no policy of that name")

    async def _page(
        self,
        user: User,
        request: Request,
        *,
        org: Mapping[str, str] | None = None,
        own: Mapping[str, str] | None = None,
        edit: str = "",
        tried: Trial | None = None,
        problem: KaizenError | None = None,
    ) -> Response:
        context, organisation = self._context, user.organisation
        document = await context.call(context.store.org_policy, organisation)
        policies = await context.call(context.store.policies, organisation)
        together = policy_view.beside(document, policies)
        found = await context.aside(policy_view.effective, together)
        if wants_json(request) and problem is not None:
            raise problem
        if wants_json(request):
            said = {
                "org_policy": bundles.decode_org_policy(document),
                "policies": [encode_policy(one) for one in policies],
                "in_force": {"version": found.version, "entries": found.count, "problem": found.problem or None},
            }
            return answer(said, headers=HEADERS)
        chosen = next((one for one in policies if one.name == edit), None) if edit else None
        shown = page(
            "policies.html",
            here="policies",
            who=user.name,
            may_change=user.role is Role.ADMIN,
            effective=found,
            own=await context.aside(lambda: [policy_view.policy_view(one) for one in policies]),
            org=policy_view.org_typed(document) if org is None else _form(org),
            typed=policy_view.own_typed(chosen) | dict(own or {}),
            editing=own is not None or chosen is not None,
            modes=policy_view.MODES,
            own_modes=policy_view.OWN_MODES,
            rules=policy_view.RULES,
            tried=tried,
            problem=str(problem or ""),
            done=_DONE.get(request.query_params.get("done", ""), ""),
            query="",
            opened="",
        )
        if problem is not None:
            shown.status_code = as_api_error(problem).status
        return shown


def _form(said: Mapping[str, str]) -> dict[str, str]:
    """The organisation's form as it was sent: what it leaves out (an empty box) is empty."""
    return {name: said.get(name, "") for name in ("mode", "tools", "destinations", "correlation")}
