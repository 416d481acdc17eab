"""``/v1/holds``: what waits for a person. Sidecars relay and fetch answers; people answer; no API key ever does."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import MAX_NAME, array, plain, text
from kaizen_security.contract.hold import Hold, decode_answer, decode_hold, decode_state, encode_hold
from kaizen_security.server import holding
from kaizen_security.server.auth import Principal
from kaizen_security.server.context import Context
from kaizen_security.server.http import answer, forbidden, number, read_object

MOST = 500
"""Holds of one answer, and of one relay."""
LONGEST_WAIT = 30
MAX_SIDECAR = 64


def routes(context: Context) -> list[Route]:
    """Relaying, listing, answering."""
    return [*_sidecars(context), *_people(context)]


def _sidecars(context: Context) -> list[Route]:
    async def relay(request: Request) -> Response:
        principal = await context.auth.principal(request)
        _observer(principal)
        document = await read_object(request)
        sidecar = _sidecar(text(document, "sidecar", limit=MAX_SIDECAR))
        taken: list[Hold] = []
        rejected: list[Json] = []
        for i, item in enumerate(array(document, "holds", limit=MOST)):
            try:
                hold = decode_hold(item, field=f"holds[{i}]")
                if len(hold.id) > MAX_SIDECAR or not hold.agent.strip() or not hold.created_at:
                    problem = "needs an id of at most 64 characters, an agent, and when it was created"
                    raise InvalidInput(f"holds[{i}]", problem)
                taken.append(hold)
            except InvalidInput as err:
                rejected.append({"index": i, "field": err.field, "message": err.problem})
                continue
            principal.agent(hold.agent, field=f"holds[{i}].agent")
        await holding.relayed(context, principal.organisation, sidecar, taken)
        return answer({"kept": len(taken), "rejected": rejected})

    async def answers(request: Request) -> Response:
        principal = await context.auth.principal(request)
        _observer(principal)
        sidecar = _sidecar(plain(request.query_params.get("sidecar", ""), "sidecar", limit=MAX_SIDECAR))
        wait = number(request, "wait", default=0, low=0, high=LONGEST_WAIT)
        return answer({"answers": await holding.answers(context, principal.organisation, sidecar, float(wait))})

    return [
        Route("/v1/holds:relay", relay, methods=["POST"]),
        Route("/v1/holds:answers", answers, methods=["GET"]),
    ]


def _people(context: Context) -> list[Route]:
    async def listing(request: Request) -> Response:
        principal = await context.auth.principal(request)
        said = request.query_params.get("state", "waiting")
        found = await context.call(
            context.store.holds.of,
            principal.organisation,
            now=context.clock(),
            state=None if said == "all" else decode_state(said),
            agent=principal.agent(plain(request.query_params.get("agent", ""), "agent", limit=MAX_NAME)),
            limit=number(request, "limit", default=100, low=1, high=MOST),
        )
        return answer({"holds": [encode_hold(hold) for hold in found]})

    async def one(request: Request) -> Response:
        principal = await context.auth.principal(request)
        wait = number(request, "wait", default=0, low=0, high=LONGEST_WAIT)
        hold = await holding.found(
            context, principal.organisation, _id(request), wait=float(wait), agent=principal.bound_agent
        )
        return answer(encode_hold(hold))

    async def say(request: Request) -> Response:
        principal = await context.auth.principal(request)
        # An agent that answered what is asked about it would need no asking: keys are refused whatever their scope.
        user = principal.require_admin()
        said = decode_answer(text(await read_object(request), "answer", limit=16))
        return answer(encode_hold(await holding.answered(context, user, _id(request), said)))

    return [
        Route("/v1/holds", listing, methods=["GET"]),
        Route("/v1/holds/{id}", one, methods=["GET"]),
        Route("/v1/holds/{id}", say, methods=["POST"]),
    ]


def _observer(principal: Principal) -> None:
    if not principal.is_observer:
        raise forbidden("this needs an API key of scope observer")


def _sidecar(said: str) -> str:
    if not said.strip():
        raise InvalidInput("sidecar", "must say which sidecar it is")
    return said


def _id(request: Request) -> str:
    return plain(request.path_params["id"], "id", limit=MAX_SIDECAR)
