"""``/v1/exports``: where verdicts are sent. For people; only administrators change or test."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kaizen_security.contract.action import Json
from kaizen_security.contract.fields import rfc3339
from kaizen_security.server.auth import Principal
from kaizen_security.server.context import Context
from kaizen_security.server.exports import document
from kaizen_security.server.http import answer, not_found, read_object

MAX_SHOWN = 100
"""Rows put aside that are shown of one destination."""


def routes(context: Context) -> list[Route]:
    """Destinations, the test button, what was put aside."""
    return [*_kept(context), *_one(context), *_told(context)]


def _kept(context: Context) -> list[Route]:

    async def listing(request: Request) -> Response:
        principal = await _person(context, request)
        found = await context.exports.listing(principal.organisation)
        return answer({"exports": [document(one) for one in found]})

    async def create(request: Request) -> Response:
        principal = await _admin(context, request)
        made = await context.exports.create(principal.organisation, await read_object(request))
        return answer(document(made), 201)

    return [
        Route("/v1/exports", listing, methods=["GET"]),
        Route("/v1/exports", create, methods=["POST"]),
    ]


def _one(context: Context) -> list[Route]:

    async def one(request: Request) -> Response:
        principal = await _person(context, request)
        found = await context.exports.one(principal.organisation, _id(request))
        if found is None:
            raise not_found("there is no such destination")
        parked = await context.call(context.store.exports.parked, principal.organisation, _id(request), limit=MAX_SHOWN)
        aside: list[Json] = [
            {"verdict": row.verdict_id, "reason": row.reason, "at": rfc3339(row.parked_at), "again": row.again}
            for row in parked
        ]
        return answer({**document(found), "parked_verdicts": aside})

    async def change(request: Request) -> Response:
        principal = await _admin(context, request)
        changed = await context.exports.change(principal.organisation, _id(request), await read_object(request))
        if changed is None:
            raise not_found("there is no such destination")
        return answer(document(changed))

    async def delete(request: Request) -> Response:
        principal = await _admin(context, request)
        if not await context.exports.delete(principal.organisation, _id(request)):
            raise not_found("there is no such destination")
        return answer({"id": _id(request), "deleted": True})

    return [
        Route("/v1/exports/{id}", one, methods=["GET"]),
        Route("/v1/exports/{id}", change, methods=["POST"]),
        Route("/v1/exports/{id}", delete, methods=["DELETE"]),
    ]


def _told(context: Context) -> list[Route]:

    async def test(request: Request) -> Response:
        principal = await _admin(context, request)
        outcome = await context.exports.test(principal.organisation, _id(request))
        if outcome is None:
            raise not_found("there is no such destination")
        return answer(
            {
                "delivered": outcome.delivered,
                "status": outcome.status or None,
                "message": outcome.problem or f"the receiver answered {outcome.status}",
            }
        )

    async def retry(request: Request) -> Response:
        principal = await _admin(context, request)
        if await context.exports.one(principal.organisation, _id(request)) is None:
            raise not_found("there is no such destination")
        return answer(
            {"id": _id(request), "retried": await context.exports.retry(principal.organisation, _id(request))}
        )

    return [
        Route("/v1/exports/{id}/test", test, methods=["POST"]),
        Route("/v1/exports/{id}/retry", retry, methods=["POST"]),
    ]


def _id(request: Request) -> str:
    return str(request.path_params["id"])


async def _person(context: Context, request: Request) -> Principal:
    principal = await context.auth.principal(request)
    principal.require_user()
    return principal


async def _admin(context: Context, request: Request) -> Principal:
    principal = await context.auth.principal(request)
    principal.require_admin()
    return principal
