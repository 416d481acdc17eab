"""The exports' page: where verdicts are sent, how that goes, a new export, a test of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput, KaizenError
from kaizen_security.exports.destinations import EXPORTERS
from kaizen_security.server.console.desk import Desk, form
from kaizen_security.server.console.lists import entries
from kaizen_security.server.console.render import HEADERS, page, wants_json
from kaizen_security.server.console.words import ago
from kaizen_security.server.context import Context
from kaizen_security.server.exports import Shown, document
from kaizen_security.server.http import answer, as_api_error, not_found
from kaizen_security.store.base import Role, User
from kaizen_security.store.exported import MAX_PENDING, Which

KIND_WORD: Final = {"webhook": "Webhook", "slack": "Slack", "otlp": "OpenTelemetry (OTLP)"}
WHICH_WORD: Final = {Which.BLOCKS: "Blocked", Which.FLAGS: "Blocked and flagged", Which.ALL: "Every verdict"}
_DONE: Final = {
    "made": "The export is made. What is decided from now on is sent there.",
    "changed": "The export was changed.",
    "retried": "What was put aside is tried again.",
    "removed": "The export was removed.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportView:
    """An export in the list. ``state`` is a word, ``problem`` what the last attempt met, ``""`` for nothing."""

    id: str
    name: str
    kind: str
    place: str
    which: str
    enabled: bool
    state: str
    delivered: int
    last: str
    pending: str
    parked: int
    problem: str


def export_view(found: Shown, now: float) -> ExportView:
    """``found`` as seen at ``now`` (Unix seconds)."""
    export, lag = found.export, found.lag
    state = "Off" if not export.enabled else "Failing" if export.problem else "Working" if export.delivered else "Ready"
    return ExportView(
        id=export.id,
        name=export.name,
        kind=KIND_WORD.get(export.kind, export.kind),
        place=str(export.shown.get("place", "")),
        which=WHICH_WORD[export.which],
        enabled=export.enabled,
        state=state,
        delivered=export.delivered,
        last=ago(export.delivered_at, now),
        pending=f"{lag.pending:,}" + ("+" if lag.pending >= MAX_PENDING else ""),
        parked=export.parked,
        problem=export.problem,
    )


def destination(said: dict[str, str]) -> dict[str, Json]:
    """The document of ``POST /v1/exports`` that a form says. Raises InvalidInput when a header is none."""
    headers: dict[str, Json] = {}
    for place, row in enumerate(entries(said.get("headers", ""))):
        name, colon, value = row.partition(":")
        if not colon:
            # Without the line itself, which may be a secret.
            raise InvalidInput(f"headers, line {place + 1}", "must be NAME: VALUE")
        if name.strip() in headers:
            raise InvalidInput(f"headers, line {place + 1}", "names a header that is there already")
        headers[name.strip()] = value.strip()
    fields: dict[str, Json] = {
        name: said.get(name, "").strip() for name in ("name", "url", "kind", "verdicts", "secret", "service")
    }
    return {**fields, "headers": headers}


def routes(desk: Desk) -> list[Route]:
    """``/exports`` and what is done there."""
    pages = _Exports(desk.context)
    return [
        Route("/exports", desk.signed_in(pages.show), methods=["GET"]),
        Route("/exports", desk.signed_in(pages.create), methods=["POST"]),
        Route("/exports/test", desk.signed_in(pages.test), methods=["POST"]),
        Route("/exports/switch", desk.signed_in(pages.switch), methods=["POST"]),
        Route("/exports/retry", desk.signed_in(pages.retry), methods=["POST"]),
        Route("/exports/remove", desk.signed_in(pages.remove), methods=["POST"]),
    ]


class _Exports:
    def __init__(self, context: Context) -> None:
        self._context = context

    async def show(self, request: Request, user: User) -> Response:
        """Every export, without its secrets."""
        return await self._page(request, user)

    async def create(self, request: Request, user: User) -> Response:
        """Make an export."""
        said = await form(request)
        try:
            await self._context.exports.create(user.organisation, destination(said))
        except KaizenError as err:
            return await self._page(request, user, typed=said, problem=err)
        return RedirectResponse("/exports?done=made", 303, HEADERS)

    async def test(self, request: Request, user: User) -> Response:
        """Send a test now and say what came of it."""
        found = await self._named(request, user)
        outcome = await self._context.exports.test(user.organisation, found.export.id)
        if outcome is None:
            raise not_found("there is no such export")
        if outcome.delivered:
            return await self._page(request, user, tested=f"The receiver took the test ({outcome.status}).")
        failed = outcome.problem or f"the receiver answered {outcome.status}"
        return await self._page(request, user, failed=f"The test did not arrive: {failed}")

    async def switch(self, request: Request, user: User) -> Response:
        """Stop sending, or go on."""
        found = await self._named(request, user)
        change: dict[str, Json] = {"enabled": not found.export.enabled}
        await self._context.exports.change(user.organisation, found.export.id, change)
        return RedirectResponse("/exports?done=changed", 303, HEADERS)

    async def retry(self, request: Request, user: User) -> Response:
        """Offer again what was put aside."""
        found = await self._named(request, user)
        await self._context.exports.retry(user.organisation, found.export.id)
        return RedirectResponse("/exports?done=retried", 303, HEADERS)

    async def remove(self, request: Request, user: User) -> Response:
        """Send there no more, and forget its secrets."""
        found = await self._named(request, user)
        await self._context.exports.delete(user.organisation, found.export.id)
        return RedirectResponse("/exports?done=removed", 303, HEADERS)

    async def _named(self, request: Request, user: User) -> Shown:
        said = (await form(request)).get("id", "")
        found = await self._context.exports.one(user.organisation, said)
        if found is None:
            raise not_found("there is no such export")
        return found

    async def _page(
        self,
        request: Request,
        user: User,
        *,
        typed: dict[str, str] | None = None,
        problem: KaizenError | None = None,
        tested: str = "",
        failed: str = "",
    ) -> Response:
        found = await self._context.exports.listing(user.organisation)
        if wants_json(request):
            if problem is not None:
                raise problem
            result = {"test": {"delivered": not failed, "message": tested or failed}} if tested or failed else {}
            return answer({"exports": [document(one) for one in found]} | result, headers=HEADERS)
        now = self._context.clock()
        # Secret and headers are not sent back, whatever was wrong beside them.
        again = {name: (typed or {}).get(name, "") for name in ("name", "url", "kind", "verdicts", "service")}
        shown = page(
            "exports.html",
            here="exports",
            who=user.name,
            may_change=user.role is Role.ADMIN,
            possible=self._context.exports.outbox is not None,
            exports=[export_view(one, now) for one in found],
            kinds=[(kind, KIND_WORD.get(kind, kind)) for kind in EXPORTERS],
            which=[(which.value, word) for which, word in WHICH_WORD.items()],
            typed=again | {"verdicts": again["verdicts"] or Which.FLAGS.value},
            editing=typed is not None,
            problem=str(problem or "") or failed,
            done=tested or _DONE.get(request.query_params.get("done", ""), ""),
        )
        if problem is not None:
            shown.status_code = as_api_error(problem).status
        return shown
