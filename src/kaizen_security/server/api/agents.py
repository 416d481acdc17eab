"""``/v1/agents``: what they declare, how they are set, what they normally do.

An agent's name may arrive unencoded, with spaces and slashes in it: it is everything between ``/v1/agents/`` and the last segment.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kaizen_security.contract.action import Json
from kaizen_security.contract.codec import decode_declaration
from kaizen_security.contract.declared import compile_declaration
from kaizen_security.contract.fields import MAX_NAME
from kaizen_security.contract.verdict import Mode
from kaizen_security.server.api import answers, bodies, documents
from kaizen_security.server.context import Context
from kaizen_security.server.http import answer, not_found
from kaizen_security.server.operation import AGENTS, PEOPLE, Answer, Nothing, Operation, Segment
from kaizen_security.store.coverage import Measured
from kaizen_security.store.profiles import Profile

MAX_PROFILE = 256 << 10
"""Bytes of what a sidecar says that it has learned of an agent."""
NAME = Segment(
    name="agent",
    limit=MAX_NAME,
    description="an agent's name; may arrive unencoded, with spaces, slashes and any other character in it",
)
DECLARE = Operation(
    "POST /v1/agents/{agent:path}/manifest",
    "declare",
    'replace what an agent declares; an empty list means "not declared in this dimension"',
    bodies.Declaration,
    (Answer(answers.Agent),),
    tags=(AGENTS, PEOPLE),
    parameters=(NAME,),
)
PROFILES = Operation(
    "GET /v1/agents/profiles",
    "profiles",
    "every agent, last seen first",
    Nothing,
    (Answer(answers.Agents),),
    tags=(AGENTS, PEOPLE),
)
PROFILE = Operation(
    "GET /v1/agents/{agent:path}/profile",
    "profile",
    "an agent and what its baseline here holds",
    Nothing,
    (Answer(answers.Profile),),
    tags=(AGENTS, PEOPLE),
    parameters=(NAME,),
)
REPORT_PROFILE = Operation(
    "POST /v1/agents/{agent:path}/profile",
    "reportProfile",
    "what a sidecar has learned of an agent, in boundary form; needs a key of scope observer",
    bodies.SidecarProfile,
    (Answer(answers.Kept),),
    tags=(AGENTS,),
    parameters=(NAME,),
    limit=MAX_PROFILE,
)
REPORT_ATTACH_POINTS = Operation(
    "POST /v1/agents/{agent:path}/attach-points",
    "reportAttachPoints",
    "which attach points of an agent a sidecar hears of; needs a key of scope observer",
    bodies.SidecarAttachPoints,
    (Answer(answers.Kept),),
    tags=(AGENTS,),
    parameters=(NAME,),
)
ATTACH_POINTS = Operation(
    "GET /v1/agents/{agent:path}/attach-points",
    "attachPoints",
    "which attach points of an agent are there, and which fell silent, by what its sidecars said last",
    Nothing,
    (Answer(answers.AttachPoints),),
    tags=(AGENTS, PEOPLE),
    parameters=(NAME,),
)
REPORT_COVERAGE = Operation(
    "POST /v1/agents/{agent:path}/coverage",
    "reportCoverage",
    "what `kaizen doctor --coverage` measured of an agent's ways out; needs a key of scope observer",
    bodies.MeasuredCoverage,
    (Answer(answers.Kept),),
    tags=(AGENTS,),
    parameters=(NAME,),
)
COVERAGE = Operation(
    "GET /v1/agents/{agent:path}/coverage",
    "coverage",
    "the newest measure of an agent's ways out",
    Nothing,
    (Answer(answers.Coverage),),
    tags=(AGENTS, PEOPLE),
    parameters=(NAME,),
)
SETTINGS = Operation(
    "POST /v1/agents/{agent:path}/settings",
    "settings",
    "change how an agent is treated; paused: record, do not flag",
    bodies.AgentSettings,
    (Answer(answers.Agent),),
    parameters=(NAME,),
)
RESET = Operation(
    "POST /v1/agents/{agent:path}/reset",
    "reset",
    "forget what an agent normally does, here and with its bundle at its sidecars, and its suppressions",
    Nothing,
    (Answer(answers.Forgotten),),
    parameters=(NAME,),
)
DELETE = Operation(
    "DELETE /v1/agents/{agent:path}",
    "deleteAgent",
    "delete all that is kept of an agent; API keys that are bound to its name stay, and are counted",
    Nothing,
    (Answer(answers.DeletedAgent),),
    parameters=(NAME,),
)


def routes(context: Context) -> list[Route]:
    """Declarations, settings, profiles; what is forgotten and deleted."""
    # The longer paths first: an agent's name may have slashes in it.
    return [*_learned(context), *_stated(context), *_attached(context), *_measured(context), *_gone(context)]


def _stated(context: Context) -> list[Route]:
    async def manifest(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_declaring()
        name = principal.agent(NAME.of(request))
        declaration = decode_declaration((await DECLARE.read(request)).document(), field="manifest")
        # Refused here rather than kept and ignored: an entry that cannot be read would silently declare nothing.
        compile_declaration(declaration)
        return answer(documents.agent(await context.declare(principal.organisation, name, declaration)))

    async def settings(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_admin()
        name = NAME.of(request)
        said = await SETTINGS.read(request)
        found = await context.call(
            context.store.settings,
            principal.organisation,
            name,
            at=context.clock(),
            mode=Mode(said.mode) if said.mode else None,
            paused=said.paused,
            judge_enabled=said.judge_enabled,
        )
        await context.changed(principal.organisation, name)
        return answer(documents.agent(found))

    return [DECLARE.route(manifest), SETTINGS.route(settings)]


def _learned(context: Context) -> list[Route]:
    async def profiles(request: Request) -> Response:
        principal = await context.auth.principal(request)
        found = await context.call(context.store.agents, principal.organisation)
        return answer({"profiles": [documents.agent(one) for one in found if principal.bound_agent in ("", one.name)]})

    async def profile(request: Request) -> Response:
        principal = await context.auth.principal(request)
        name = principal.agent(NAME.of(request))
        found = await context.call(context.store.agent, principal.organisation, name)
        if found is None:
            raise not_found("there is no such agent")
        await context.evaluator.prepare(principal.organisation, name)
        learned = context.evaluator.inspector.profile(name, organisation=str(principal.organisation))
        reported = await context.call(context.store.profiles.of, principal.organisation, name)
        return answer(
            {
                **documents.agent(found),
                "profile": learned,
                "sidecars": [documents.reported_profile(one) for one in reported],
            }
        )

    async def report_profile(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_observer()
        name = principal.agent(NAME.of(request))
        said = await REPORT_PROFILE.read(request)
        profile = Profile(sidecar=said.sidecar, at=context.clock(), document=said.profile)
        if not await context.call(context.store.profiles.put, principal.organisation, name, profile):
            raise not_found("there is no such agent")
        return answer({"agent": name, "kept": True})

    return [PROFILES.route(profiles), PROFILE.route(profile), REPORT_PROFILE.route(report_profile)]


def _attached(context: Context) -> list[Route]:
    async def report(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_observer()
        name = principal.agent(NAME.of(request))
        said = await REPORT_ATTACH_POINTS.read(request)
        document: dict[str, Json] = {"points": [one.document() for one in said.points]}
        profile = Profile(sidecar=said.sidecar, at=context.clock(), document=document)
        if not await context.call(context.store.attached.put, principal.organisation, name, profile):
            raise not_found("there is no such agent")
        return answer({"agent": name, "kept": True})

    async def shown(request: Request) -> Response:
        principal = await context.auth.principal(request)
        name = principal.agent(NAME.of(request))
        if await context.call(context.store.agent, principal.organisation, name) is None:
            raise not_found("there is no such agent")
        said = await context.call(context.store.attached.of, principal.organisation, name)
        return answer(documents.attach_points(name, said, context.clock()))

    return [REPORT_ATTACH_POINTS.route(report), ATTACH_POINTS.route(shown)]


def _measured(context: Context) -> list[Route]:
    async def report_coverage(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_observer()
        name = principal.agent(NAME.of(request))
        said = await REPORT_COVERAGE.read(request)
        rungs = [one.document() for one in said.rungs]
        measured = Measured(machine=said.machine, at=context.clock(), rungs=rungs)
        if not await context.call(context.store.coverage.put, principal.organisation, name, measured):
            raise not_found("there is no such agent")
        return answer({"agent": name, "kept": True})

    async def coverage(request: Request) -> Response:
        principal = await context.auth.principal(request)
        name = principal.agent(NAME.of(request))
        found = await context.call(context.store.coverage.of, principal.organisation, name)
        if found is None:
            raise not_found("nobody has measured its ways out")
        return answer(documents.coverage(name, found))

    return [REPORT_COVERAGE.route(report_coverage), COVERAGE.route(coverage)]


def _gone(context: Context) -> list[Route]:
    async def reset(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_admin()
        name = NAME.of(request)
        if not await context.forget(principal.organisation, name):
            raise not_found("there is no such agent")
        return answer({"agent": name, "reset": True})

    async def delete(request: Request) -> Response:
        principal = await context.auth.principal(request)
        principal.require_admin()
        name = NAME.of(request)
        gone = await context.delete(principal.organisation, name)
        if gone is None:
            raise not_found("there is no such agent")
        return answer(documents.deleted(name, gone))

    return [
        RESET.route(reset),
        DELETE.route(delete),
    ]
