"""The verdicts' pages: the live list, one verdict with its drawer, and what a person does with it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import plain
from kaizen_security.server import triage
from kaizen_security.server.acts import acts_of
from kaizen_security.server.console.connect import snippets
from kaizen_security.server.console.desk import Desk, address, form, is_part
from kaizen_security.server.console.evidence import Drawer
from kaizen_security.server.console.filters import Filters, filters
from kaizen_security.server.console.live import Streams, TooManyStreams, follow
from kaizen_security.server.console.pages import beside, drawer_of, verdict_page
from kaizen_security.server.console.render import HEADERS, page, wants_json
from kaizen_security.server.console.twin import drawer_document, page_document
from kaizen_security.server.console.words import moment
from kaizen_security.server.context import Context
from kaizen_security.server.http import answer, not_found, too_many
from kaizen_security.store.base import Role, Status, User, VerdictRow


def routes(desk: Desk) -> list[Route]:
    """``/verdicts``, ``/verdicts/live``, ``/verdicts/{id}`` and its triage."""
    pages = _Verdicts(desk.context)
    return [
        Route("/verdicts", desk.signed_in(pages.newest), methods=["GET"]),
        Route("/verdicts/live", desk.signed_in(pages.live), methods=["GET"]),
        Route("/verdicts/{id}", desk.signed_in(pages.one), methods=["GET"]),
        Route("/verdicts/{id}/status", desk.signed_in(pages.status), methods=["POST"]),
        Route("/verdicts/{id}/learn", desk.signed_in(pages.learn), methods=["POST"]),
    ]


class _Verdicts:
    def __init__(self, context: Context) -> None:
        self._context = context
        self._streams = Streams()

    async def newest(self, request: Request, user: User) -> Response:
        """Newest first, as the address filters them."""
        return await self._page(request, user, filters(request.query_params), None)

    async def one(self, request: Request, user: User) -> Response:
        """The list with one verdict's drawer open; the drawer alone for the console's script."""
        chosen = filters(request.query_params)
        row = await self._row(request, user)
        if wants_json(request):
            others = await self._context.call(beside, self._context.store, user.organisation, row)
            [act] = await self._context.call(
                acts_of, self._context.store, user.organisation, (row,), self._context.clock()
            )
            return answer(drawer_document(row, others, act), headers=HEADERS)
        return await self._shown(request, user, chosen, row)

    async def _shown(self, request: Request, user: User, chosen: Filters, row: VerdictRow) -> Response:
        if not is_part(request):
            return await self._page(request, user, chosen, row)
        return page("part.html", **_drawer_values(await self._drawer(user, row), chosen, user))

    async def _page(self, request: Request, user: User, chosen: Filters, row: VerdictRow | None) -> Response:
        context = self._context
        now = context.clock()
        found = await context.call(verdict_page, context.store, user.organisation, chosen, now)
        if wants_json(request):
            return answer(page_document(found.acts, chosen, older=found.older), headers=HEADERS)
        first = not chosen.before
        values = _drawer_values(None if row is None else await self._drawer(user, row), chosen, user)
        return page(
            "verdicts.html",
            here="verdicts",
            who=user.name,
            teach=found.empty and row is None,
            snippets=snippets("my-agent", address(request, secure=context.auth.secure)),
            today=found.today,
            filters=chosen,
            choices=chosen.choices(),
            agents=found.agents,
            lines=found.lines,
            live=chosen.address("/verdicts/live") if first else "",
            newest=found.newest,
            older=chosen.address(before=found.older) if found.older else "",
            looked_to=None if found.looked_to is None else moment(found.looked_to, now),
            newer=chosen.address(),
            first=first,
            opened=row.id if row is not None else "",
            **values,
        )

    async def _drawer(self, user: User, row: VerdictRow) -> Drawer:
        context = self._context
        return await context.call(drawer_of, context.store, user.organisation, row, context.clock())

    async def _row(self, request: Request, user: User) -> VerdictRow:
        verdict_id = plain(request.path_params["id"], "id", limit=64)
        row = await self._context.call(self._context.store.verdict, user.organisation, verdict_id)
        if row is None:
            raise not_found("there is no verdict of that id")
        return row

    async def live(self, request: Request, user: User) -> Response:
        """Server-sent events: every new verdict that the address's filters let through, as the list's row."""
        chosen = filters(request.query_params)
        # A browser that connects again says where it was; the address says where the page was when it was made.
        said = request.headers.get("last-event-id") or request.query_params.get("after", "")
        after = plain(said, "after", limit=64)
        session = self._context.auth.session_hash(request)
        try:
            self._streams.permit(user)
        except TooManyStreams as err:
            raise too_many(str(err), 30.0) from err

        async def alive() -> bool:
            return await self._context.auth.user(request) is not None

        async def events() -> AsyncIterator[str]:
            with self._streams.entered(user):
                following = follow(self._context, user.organisation, chosen, after=after, session=session, alive=alive)
                async for text in following:
                    yield text

        return StreamingResponse(
            events(), media_type="text/event-stream", headers=HEADERS | {"X-Accel-Buffering": "no"}
        )

    async def status(self, request: Request, user: User) -> Response:
        """What a person says of a verdict."""
        said = (await form(request)).get("status", "")
        if said not in tuple(Status):
            raise InvalidInput("status", f"must be one of {', '.join(Status)}")
        row = await self._row(request, user)
        return await self._settled(request, user, row, Status(said))

    async def learn(self, request: Request, user: User) -> Response:
        """This was normal: fold it into what the agent is for. With that it is dealt with."""
        row = await self._row(request, user)
        await triage.learn(self._context, user.organisation, row)
        return await self._settled(request, user, row, Status.RESOLVED)

    async def _settled(self, request: Request, user: User, row: VerdictRow, status: Status) -> Response:
        changed = await triage.set_status(self._context, user.organisation, row.id, status)
        if changed is None:
            raise not_found("there is no verdict of that id")
        chosen = filters(request.query_params)
        if is_part(request):
            return await self._shown(request, user, chosen, changed)
        return RedirectResponse(chosen.address(f"/verdicts/{row.id}"), 303, HEADERS)


def _drawer_values(drawer: Drawer | None, chosen: Filters, user: User) -> dict[str, object]:
    return {"drawer": drawer, "query": chosen.address(""), "problem": "", "may_change": user.role is Role.ADMIN}
