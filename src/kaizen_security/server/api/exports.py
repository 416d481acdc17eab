"""``/v1/exports``: where verdicts are sent. For people; only administrators change or test."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kaizen_security.contract.action import Json
from kaizen_security.contract.fields import rfc3339
from kaizen_security.server.api import bodies, people_answers
from kaizen_security.server.auth import Principal
from kaizen_security.server.context import Context
from kaizen_security.server.exports import document
from kaizen_security.server.http import answer, not_found
from kaizen_security.server.operation import Answer, Nothing, Operation, Segment

EXPORT_ID = Segment(name="id", missing="there is no such export")
LIST = Operation("GET /v1/exports", "exports", "where verdicts are sent", Nothing, (Answer(people_answers.Exports),))
CREATE = Operation(
    "POST /v1/exports",
    "createExport",
    "send verdicts somewhere, from now on",
    bodies.NewExport,
    (Answer(people_answers.Export, 201),),
    description=(
        "An internal address is refused unless the server was started with --permit-export for it. "
        "Secret, headers and URL are write-only."
    ),
)
ONE = Operation(
    "GET /v1/exports/{id}",
    "export",
    "one export, with what its receiver refused for good",
    Nothing,
    (Answer(people_answers.ExportWithParked),),
    parameters=(EXPORT_ID,),
)
CHANGE = Operation(
    "POST /v1/exports/{id}",
    "changeExport",
    "change what is given; the URL cannot be changed",
    bodies.ExportChange,
    (Answer(people_answers.Export),),
    parameters=(EXPORT_ID,),
)
DELETE = Operation(
    "DELETE /v1/exports/{id}",
    "deleteExport",
    "send nothing there any more",
    Nothing,
    (Answer(people_answers.DeletedExport),),
    parameters=(EXPORT_ID,),
)
TEST = Operation(
    "POST /v1/exports/{id}/test",
    "testExport",
    "send a test now and say what came of it",
    Nothing,
    (Answer(people_answers.Tested),),
    parameters=(EXPORT_ID,),
)
RETRY = Operation(
    "POST /v1/exports/{id}/retry",
    "retryExport",
    "offer again what the receiver refused",
    Nothing,
    (Answer(people_answers.Retried),),
    parameters=(EXPORT_ID,),
)
MAX_SHOWN = 100
"""Rows put aside that are shown of one export."""


def routes(context: Context) -> list[Route]:
    """Exports, the test button, what was put aside."""
    return [*_kept(context), *_one(context), *_told(context)]


def _kept(context: Context) -> list[Route]:

    async def listing(request: Request) -> Response:
        principal = await _person(context, request)
        found = await context.exports.listing(principal.organisation)
        return answer({"exports": [document(one) for one in found]})

    async def create(request: Request) -> Response:
        principal = await _admin(context, request)
        made = await context.exports.create(principal.organisation, (await CREATE.read(request)).document())
        return answer(document(made), 201)

    return [
        LIST.route(listing),
        CREATE.route(create),
    ]


def _one(context: Context) -> list[Route]:

    async def one(request: Request) -> Response:
        principal = await _person(context, request)
        found = await context.exports.one(principal.organisation, EXPORT_ID.of(request))
        if found is None:
            raise not_found("there is no such export")
        parked = await context.call(
            context.store.exports.parked, principal.organisation, EXPORT_ID.of(request), limit=MAX_SHOWN
        )
        aside: list[Json] = [
            {"verdict": row.verdict_id, "reason": row.reason, "at": rfc3339(row.parked_at), "again": row.again}
            for row in parked
        ]
        return answer({**document(found), "parked_verdicts": aside})

    async def change(request: Request) -> Response:
        principal = await _admin(context, request)
        said = await CHANGE.read(request)
        changed = await context.exports.change(principal.organisation, EXPORT_ID.of(request), said.document())
        if changed is None:
            raise not_found("there is no such export")
        return answer(document(changed))

    async def delete(request: Request) -> Response:
        principal = await _admin(context, request)
        if not await context.exports.delete(principal.organisation, EXPORT_ID.of(request)):
            raise not_found("there is no such export")
        return answer({"id": EXPORT_ID.of(request), "deleted": True})

    return [
        ONE.route(one),
        CHANGE.route(change),
        DELETE.route(delete),
    ]


def _told(context: Context) -> list[Route]:

    async def test(request: Request) -> Response:
        principal = await _admin(context, request)
        outcome = await context.exports.test(principal.organisation, EXPORT_ID.of(request))
        if outcome is None:
            raise not_found("there is no such export")
        return answer(
            {
                "delivered": outcome.delivered,
                "status": outcome.status or None,
                "message": outcome.problem or f"the receiver answered {outcome.status}",
            }
        )

    async def retry(request: Request) -> Response:
        principal = await _admin(context, request)
        if await context.exports.one(principal.organisation, EXPORT_ID.of(request)) is None:
            raise not_found("there is no such export")
        return answer(
            {
                "id": EXPORT_ID.of(request),
                "retried": await context.exports.retry(principal.organisation, EXPORT_ID.of(request)),
            }
        )

    return [
        TEST.route(test),
        RETRY.route(retry),
    ]


async def _person(context: Context, request: Request) -> Principal:
    principal = await context.auth.principal(request)
    principal.require_user()
    return principal


async def _admin(context: Context, request: Request) -> Principal:
    principal = await context.auth.principal(request)
    principal.require_admin()
    return principal
