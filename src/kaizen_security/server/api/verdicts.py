"""``/v1/verdicts``: reports come in, rows go out, people say what they think of them."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kaizen_security.contract.codec import encode_verdict
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import MAX_NAME, instant, plain, text
from kaizen_security.contract.verdict import Decision
from kaizen_security.server import triage
from kaizen_security.server.api import documents
from kaizen_security.server.auth import Principal
from kaizen_security.server.context import Context
from kaizen_security.server.http import MAX_BATCH, answer, not_found, number, read_body, read_object
from kaizen_security.server.reports import HEAVY, Reports, read_batch, read_report
from kaizen_security.store.base import Status, VerdictQuery, VerdictRow

MAX_ROWS = 1000
"""Rows of one answer."""

E = TypeVar("E", bound=StrEnum)


def routes(context: Context) -> list[Route]:
    """Reporting, listing, triage."""
    reports = Reports(context)

    async def report(request: Request) -> Response:
        principal = await context.auth.principal(request)
        _only_keys(principal)
        data = await read_body(request)
        heavy = len(data) > HEAVY
        taken = await context.aside(read_report, data, principal) if heavy else read_report(data, principal)
        [kept] = await reports.take(principal, [taken], heavy=heavy)
        return answer({**encode_verdict(kept.verdict), "id": kept.id}, 200 if kept.duplicate else 201)

    async def batch(request: Request) -> Response:
        principal = await context.auth.principal(request)
        _only_keys(principal)
        data = await read_body(request, limit=MAX_BATCH)
        heavy = len(data) > HEAVY
        taken, refused = await context.aside(read_batch, data, principal) if heavy else read_batch(data, principal)
        kept = await reports.take(principal, [entry for _, entry in taken], heavy=heavy)
        duplicates = sum(entry.duplicate for entry in kept)
        return answer(
            {
                "accepted": len(kept) - duplicates,
                "duplicates": duplicates,
                "rejected": [{"index": one.index, "field": one.field, "message": one.message} for one in refused],
                "ids": [entry.id for entry in kept],
            }
        )

    async def listing(request: Request) -> Response:
        principal = await context.auth.principal(request)
        rows = await context.call(context.store.verdicts, principal.organisation, _query(request, principal))
        return answer({"verdicts": [documents.verdict_row(row) for row in rows]})

    async def one(request: Request) -> Response:
        principal = await context.auth.principal(request)
        return answer(documents.verdict_row(await _row(context, principal, request)))

    async def status(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_admin()
        said = _one_of(Status, text(await read_object(request), "status", limit=32), "status")
        if said is None:
            raise InvalidInput("status", f"must be one of {', '.join(Status)}")
        row = await triage.set_status(context, principal.organisation, request.path_params["id"], said)
        if row is None:
            raise not_found("there is no such verdict")
        return answer(documents.verdict_row(row))

    async def learn(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_admin()
        row = await _row(context, principal, request)
        learned = await triage.learn(context, principal.organisation, row)
        return answer({"verdict": documents.verdict_row(row), "agent": documents.agent(learned)})

    return [
        Route("/v1/verdicts", report, methods=["POST"]),
        Route("/v1/verdicts", listing, methods=["GET"]),
        Route("/v1/verdicts:batch", batch, methods=["POST"]),
        Route("/v1/verdicts/{id}", one, methods=["GET"]),
        Route("/v1/verdicts/{id}/status", status, methods=["POST"]),
        Route("/v1/verdicts/{id}/learn", learn, methods=["POST"]),
    ]


def _only_keys(principal: Principal) -> None:
    # A person reports nothing: what is in the list was seen by a client or an observer.
    principal.require_key()


async def _row(context: Context, principal: Principal, request: Request) -> VerdictRow:
    row = await context.call(context.store.verdict, principal.organisation, request.path_params["id"])
    if row is None or principal.bound_agent not in ("", row.agent):
        raise not_found("there is no such verdict")
    return row


def _query(request: Request, principal: Principal) -> VerdictQuery:
    said = {name: plain(value, name, limit=MAX_NAME) for name, value in request.query_params.items()}
    return VerdictQuery(
        agent=principal.agent(said.get("agent", "")),
        status=_one_of(Status, said.get("status", ""), "status"),
        decision=_one_of(Decision, said.get("decision", ""), "decision"),
        source=said.get("source", ""),
        flagged=_flag(said.get("flagged", "")),
        q=said.get("q", ""),
        since=_since(said.get("since", "")),
        after=said.get("after", ""),
        before=said.get("before", ""),
        run_id=said.get("run_id", ""),
        act_id=said.get("act_id", ""),
        action_id=said.get("action_id", ""),
        limit=number(request, "limit", default=100, low=1, high=MAX_ROWS),
        offset=number(request, "offset", default=0, low=0, high=10_000_000),
    )


def _one_of(kind: type[E], said: str, field: str) -> E | None:
    if not said:
        return None
    try:
        return kind(said)
    except ValueError as err:
        raise InvalidInput(field, f"must be one of {', '.join(kind)}") from err


def _flag(said: str) -> bool | None:
    if said not in ("", "true", "false"):
        raise InvalidInput("flagged", "must be true or false")
    return {"": None, "true": True, "false": False}[said]


def _since(said: str) -> float:
    try:
        return float(said) if said and said.replace(".", "", 1).isdigit() else instant({"since": said}, "since")
    except InvalidInput as err:
        raise InvalidInput("since", "must be an RFC 3339 instant with its offset, or Unix seconds") from err
