"""``/v1/holds``: what waits for a person. Sidecars relay and fetch answers; people answer; no API key ever does."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import MAX_NAME
from kaizen_security.contract.hold import Hold, HoldState, decode_answer, decode_hold, decode_state, encode_hold
from kaizen_security.server import holding
from kaizen_security.server.api import answers as given
from kaizen_security.server.api import bodies
from kaizen_security.server.api.reported import HeldAction
from kaizen_security.server.context import Context
from kaizen_security.server.http import answer
from kaizen_security.server.operation import AGENTS, PEOPLE, Answer, Nothing, Number, Operation, Segment, Text

MAX_SIDECAR = 64
WAIT = Number(name="wait", default=0, low=0, high=30, description="seconds to wait for it")
SIDECAR = Text(name="sidecar", limit=MAX_SIDECAR, required=True)
STATE = Text(name="state", values=(*HoldState, "all"), default="waiting")
AGENT = Text(name="agent", limit=MAX_NAME, description="an agent's name; may arrive unencoded")
LIMIT = Number(name="limit", default=100, low=1, high=500)
HOLD_ID = Segment(name="id", limit=MAX_SIDECAR)
RELAY = Operation(
    "POST /v1/holds:relay",
    "relayHolds",
    "how held actions stand at a sidecar; needs a key of scope observer",
    bodies.Relay,
    (Answer(given.Relayed),),
    tags=(AGENTS,),
    named=(HeldAction,),
)
ANSWERS = Operation(
    "GET /v1/holds:answers",
    "holdAnswers",
    "what people answered and this sidecar has not said that it knows; waits for the first",
    Nothing,
    (Answer(given.Replies),),
    tags=(AGENTS,),
    parameters=(SIDECAR, WAIT),
)
LIST = Operation(
    "GET /v1/holds",
    "holds",
    "actions that wait for a person, newest first",
    Nothing,
    (Answer(given.Holds),),
    tags=(AGENTS, PEOPLE),
    parameters=(STATE, AGENT, LIMIT),
)
ONE = Operation(
    "GET /v1/holds/{id}",
    "hold",
    "one of them, once it is settled or after `wait` seconds",
    Nothing,
    (Answer(given.Hold),),
    tags=(AGENTS, PEOPLE),
    parameters=(HOLD_ID, WAIT),
)
SAY = Operation(
    "POST /v1/holds/{id}",
    "answerHold",
    "answer it, as an administrator; an API key never may",
    bodies.HoldReply,
    (Answer(given.Hold),),
    description="409 when it was answered before or its time is over; 422 for `allow_run` of an action that belongs to no run.",
    parameters=(HOLD_ID,),
)


def routes(context: Context) -> list[Route]:
    """Relaying, listing, answering."""
    return [*_sidecars(context), *_people(context)]


def _sidecars(context: Context) -> list[Route]:
    async def relay(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_observer()
        said = await RELAY.read(request)
        sidecar = _sidecar(said.sidecar)
        taken: list[Hold] = []
        rejected: list[Json] = []
        for i, item in enumerate(said.holds):
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
        principal.require_observer()
        wait = float(WAIT.of(request))
        return answer({"answers": await holding.answers(context, principal.organisation, SIDECAR.of(request), wait)})

    return [
        RELAY.route(relay),
        ANSWERS.route(answers),
    ]


def _people(context: Context) -> list[Route]:
    async def listing(request: Request) -> Response:
        principal = await context.auth.principal(request)
        said = STATE.of(request)
        found = await context.call(
            context.store.holds.of,
            principal.organisation,
            now=context.clock(),
            state=None if said == "all" else decode_state(said),
            agent=principal.agent(AGENT.of(request)),
            limit=LIMIT.of(request),
        )
        return answer({"holds": [encode_hold(hold) for hold in found]})

    async def one(request: Request) -> Response:
        principal = await context.auth.principal(request)
        hold = await holding.found(
            context,
            principal.organisation,
            HOLD_ID.of(request),
            wait=float(WAIT.of(request)),
            agent=principal.bound_agent,
        )
        return answer(encode_hold(hold))

    async def say(request: Request) -> Response:
        principal = await context.auth.principal(request)
        # An agent that answered what is asked about it would need no asking: keys are refused whatever their scope.
        user = principal.require_admin()
        said = decode_answer((await SAY.read(request)).answer)
        return answer(encode_hold(await holding.answered(context, user, HOLD_ID.of(request), said)))

    return [
        LIST.route(listing),
        ONE.route(one),
        SAY.route(say),
    ]


def _sidecar(said: str) -> str:
    if not said.strip():
        raise InvalidInput("sidecar", "must say which sidecar it is")
    return said
