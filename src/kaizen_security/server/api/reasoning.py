"""``/v1/llm-config`` and ``/v1/judge/usage``: which model is asked, whether it answers, what it has cost."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kaizen_security.server.api import bodies, people_answers
from kaizen_security.server.context import Context
from kaizen_security.server.http import answer, forbidden
from kaizen_security.server.operation import AGENTS, PEOPLE, Answer, Nothing, Operation
from kaizen_security.server.reasoning import document

SHOW = Operation(
    "GET /v1/llm-config",
    "llmConfig",
    "which model is asked what no rule settles, without its key",
    Nothing,
    (Answer(people_answers.Model),),
)
CHANGE = Operation(
    "POST /v1/llm-config",
    "setLlmConfig",
    "choose the model",
    bodies.NewModel,
    (Answer(people_answers.Model),),
    description=(
        "What is not stated stays, as long as the provider is the same. The key is write-only, and has to be stated again when "
        "the address changes. An internal address is refused unless the server was started with --permit-export for it."
    ),
)
TEST = Operation(
    "POST /v1/llm-config/test",
    "testLlmConfig",
    "ask one made-up question now, within the budget",
    Nothing,
    (Answer(people_answers.ModelTried),),
)
USAGE = Operation(
    "GET /v1/judge/usage",
    "judgeUsage",
    "what asking the model has cost, today (UTC) and in the last seven days",
    Nothing,
    (Answer(people_answers.JudgeUsage),),
    tags=(AGENTS, PEOPLE),
)


def routes(context: Context) -> list[Route]:
    """The organisation's model. Only administrators change or test it."""
    reasoning = context.reasoning

    async def show(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_user()
        organisation = principal.organisation
        return answer(document(reasoning.choice(organisation), reasoning.state(organisation)))

    async def change(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_admin()
        organisation = principal.organisation
        chosen = await reasoning.change(organisation, (await CHANGE.read(request)).document())
        return answer(document(chosen, reasoning.state(organisation)))

    async def test(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_admin()
        return answer((await reasoning.test(principal.organisation)).to_json())

    async def usage(request: Request) -> Response:
        principal = await context.auth.principal(request)
        if principal.bound_agent:
            raise forbidden("this API key is bound to one agent, and these counts are of all of them")
        return answer(await reasoning.usage(principal.organisation))

    return [
        SHOW.route(show),
        CHANGE.route(change),
        TEST.route(test),
        USAGE.route(usage),
    ]
