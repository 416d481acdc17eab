"""What is in force: for deployed clients (``/v1/policy``), for ours (``/v1/bundle``), and for people to change."""

from __future__ import annotations

from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kaizen_security.contract.bundle import decode_policy, encode_policy, seal, signing_key
from kaizen_security.contract.compiled import compile_policies
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import MAX_NAME
from kaizen_security.server import bundles
from kaizen_security.server.api import answers, bodies
from kaizen_security.server.auth import Principal
from kaizen_security.server.context import Context
from kaizen_security.server.http import MAX_BATCH, answer, forbidden, not_found
from kaizen_security.server.operation import AGENTS, Answer, Header, Nothing, Number, Operation, Segment, Text

AGENT = Text(name="agent", limit=MAX_NAME, description="an agent's name; may arrive unencoded")
WAIT = Number(
    name="wait",
    default=0.0,
    low=0.0,
    high=60.0,
    description="with If-None-Match, wait that many seconds for a change before answering 304",
)
KNOWN = Header(name="If-None-Match", description="the ETag of the bundle that the caller has")
POLICY_NAME = Segment(name="name", limit=MAX_NAME, missing="there is no such policy")
POLICY = Operation(
    "GET /v1/policy",
    "policy",
    "the policies in force, in the forms that deployed clients know",
    Nothing,
    (Answer(answers.Policies, description="only blocklist, allowlist and correlation, in legal form"),),
    tags=(AGENTS,),
    parameters=(AGENT,),
)
BUNDLE = Operation(
    "GET /v1/bundle",
    "bundle",
    "policies, declaration and mode of an agent, versioned, and signed for the API key that asks",
    Nothing,
    (
        Answer(answers.SignedBundle, headers=("ETag",)),
        Answer(status=304, description="the caller has it already"),
    ),
    tags=(AGENTS,),
    parameters=(AGENT, WAIT, KNOWN),
)
ORG_POLICY = Operation(
    "GET /v1/org-policy",
    "orgPolicy",
    "the organisation's policy over tools and destinations",
    Nothing,
    (Answer(answers.OrgPolicyInForce),),
)
SET_ORG_POLICY = Operation(
    "POST /v1/org-policy",
    "setOrgPolicy",
    "replace it",
    bodies.OrgPolicy,
    (Answer(answers.OrgPolicyInForce),),
    limit=MAX_BATCH,
)
POLICIES = Operation(
    "GET /v1/policies",
    "policies",
    "the organisation's further policies (publishers, hashes, patterns, ranges, correlation)",
    Nothing,
    (Answer(answers.Policies),),
)
PUT_POLICY = Operation(
    "POST /v1/policies",
    "putPolicy",
    "keep a policy in place of the one of its name; one that cannot be used is refused",
    bodies.NewPolicy,
    (Answer(answers.Policy),),
    limit=MAX_BATCH,
)
DELETE_POLICY = Operation(
    "DELETE /v1/policies/{name:path}",
    "deletePolicy",
    "take a policy away",
    Nothing,
    (Answer(answers.Deleted),),
    parameters=(POLICY_NAME,),
)
LOOK_AGAIN = 2.0
"""Seconds after which a long poll asks the store itself, for changes that another process made."""


def routes(context: Context) -> list[Route]:
    """Reading and changing policies."""
    return [*_served(context), *_organisation(context), *_own(context)]


def _served(context: Context) -> list[Route]:

    async def policy(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.agent(AGENT.of(request))
        found = await context.call(bundles.in_force, context.store, principal.organisation)
        return answer({"policies": bundles.for_deployed(found)})

    async def bundle(request: Request) -> Response:
        principal = await context.auth.principal(request)
        if principal.key is None:
            raise forbidden("a bundle is signed for the API key that asks for it")
        key = principal.key
        agent = principal.agent(AGENT.of(request)) or "default"
        wait = WAIT.of(request)
        known = request.headers.get("if-none-match", "")
        until = context.clock() + wait
        while True:
            turn = context.changes.turn(principal.organisation)
            made = await context.call(bundles.bundle, context.store, principal.organisation, agent, context.clock())
            tag = bundles.etag(made)
            left = until - context.clock()
            if tag != known or left <= 0 or context.changes.closed:
                break
            await context.changes.wait(principal.organisation, turn, min(left, LOOK_AGAIN))
            # A key that was revoked meanwhile is given nothing more.
            key = (await context.auth.principal(request)).require_key()
        if tag == known:
            return Response(status_code=304, headers={"ETag": tag})
        return Response(seal(made, signing_key(key.hash)), headers={"ETag": tag}, media_type="application/json")

    return [POLICY.route(policy), BUNDLE.route(bundle)]


def _organisation(context: Context) -> list[Route]:

    async def org_policy(request: Request) -> Response:
        principal = await _person(context, request)
        said = await context.call(context.store.org_policy, principal.organisation)
        return answer(bundles.decode_org_policy(said))

    async def set_org_policy(request: Request) -> Response:
        principal = await _person(context, request)
        principal.require_admin()
        said = bundles.decode_org_policy((await SET_ORG_POLICY.read(request)).document())
        await context.aside(compile_policies, bundles.org_policies(said))
        await context.call(context.store.set_org_policy, principal.organisation, said)
        await context.changed(principal.organisation)
        return answer(said)

    return [
        ORG_POLICY.route(org_policy),
        SET_ORG_POLICY.route(set_org_policy),
    ]


def _own(context: Context) -> list[Route]:

    async def policies(request: Request) -> Response:
        principal = await _person(context, request)
        found = await context.call(context.store.policies, principal.organisation)
        return answer({"policies": [encode_policy(one) for one in found]})

    async def put_policy(request: Request) -> Response:
        principal = await _person(context, request)
        principal.require_admin()
        made = decode_policy((await PUT_POLICY.read(request)).document())
        if not made.name.strip() or made.name in (bundles.NAME, bundles.CORRELATION):
            raise InvalidInput("name", "must be a name that is not the organisation's own")
        # Kept only if it compiles, and compiled as if it were on: a policy that cannot be used is refused when it is written.
        await context.aside(compile_policies, [replace(made, enabled=True)])
        await context.call(context.store.put_policy, principal.organisation, made, at=context.clock())
        await context.changed(principal.organisation)
        return answer(encode_policy(made))

    async def delete_policy(request: Request) -> Response:
        principal = await _person(context, request)
        principal.require_admin()
        if not await context.call(context.store.delete_policy, principal.organisation, POLICY_NAME.of(request)):
            raise not_found("there is no such policy")
        await context.changed(principal.organisation)
        return answer({"deleted": True})

    return [
        POLICIES.route(policies),
        PUT_POLICY.route(put_policy),
        DELETE_POLICY.route(delete_policy),
    ]


async def _person(context: Context, request: Request) -> Principal:
    principal = await context.auth.principal(request)
    principal.require_user()
    return principal
