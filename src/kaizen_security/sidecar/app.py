"""The sidecar's HTTP: the same endpoints on the Unix socket, where the file's mode is the key, and on loopback with a key.

The Inspector is called on the event loop: it takes microseconds. What blocks (asking the control plane) runs in threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kaizen_security.contract import reasons, spellings
from kaizen_security.contract.action import Action, Json, altered, told
from kaizen_security.contract.bundle import Bundle, encode_policy, key_hash, seal, signing_key
from kaizen_security.contract.codec import (
    Report,
    decode_action,
    decode_declaration,
    decode_report,
    decode_step,
    encode_declaration,
    encode_verdict,
)
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.declared import compile_declaration, extended
from kaizen_security.contract.errors import InvalidInput, KaizenError, Unreachable
from kaizen_security.contract.fields import MAX_NAME, MAX_TEXT, array, plain, text
from kaizen_security.contract.hold import Hold
from kaizen_security.contract.policy import MODES
from kaizen_security.contract.step import Result, Step, told_step
from kaizen_security.contract.verdict import Verdict, restated
from kaizen_security.runtime.clock import now
from kaizen_security.runtime.inspector import Asked, Inspector
from kaizen_security.runtime.joining import Joiner
from kaizen_security.sidecar.holding import Holding
from kaizen_security.sidecar.http import (
    MAX_BATCH_BODY,
    Problem,
    answer,
    bearer,
    changes,
    is_stranger,
    on_error,
    on_socket,
    read,
    tag_of,
)
from kaizen_security.sidecar.identity import STRANGER, Identities, Identity, tells
from kaizen_security.sidecar.in_force import InForce
from kaizen_security.sidecar.occurrences import Occurrences
from kaizen_security.sidecar.turns import Turns
from kaizen_security.sidecar.uplink import Uplink

MAX_BATCH = 1000


class Sidecar:
    """The endpoints over one Inspector, one Uplink, one memory of keys, and what is held."""

    def __init__(self, inspector: Inspector, uplink: Uplink, identities: Identities, holding: Holding) -> None:
        self.inspector = inspector
        self.uplink = uplink
        self.identities = identities
        self.holding = holding
        holding.learned = self._learned
        self.spool_refused = 0
        self.witness: Callable[[Step], None] = lambda step: None  # told of every step and report; must not wait
        self.joiner = Joiner(now, self.emit)
        self.occurrences = Occurrences()
        self.in_force = InForce(inspector, uplink, holding)
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="heavy")

    def app(self, more: Sequence[Route] = ()) -> Starlette:
        """The ASGI application, with ``more`` routes."""
        return Starlette(
            routes=[
                Route("/v1/inspect", self._guard(self.inspect), methods=["POST"]),
                Route("/v1/steps", self._guard(self.steps), methods=["POST"]),
                Route("/v1/verdicts", self._guard(self.verdicts), methods=["POST"]),
                Route("/v1/verdicts:batch", self._guard(self.batch), methods=["POST"]),
                Route("/v1/agents/{agent:path}/manifest", self._guard(self.manifest), methods=["POST"]),
                Route("/v1/agents/{agent:path}/profile", self._guard(self.profile), methods=["GET"]),
                Route("/v1/policy", self._guard(self.policy), methods=["GET"]),
                Route("/v1/bundle", self._guard(self.bundle), methods=["GET"]),
                *self.holding.routes(self.who),
                *more,
            ],
            exception_handlers={HTTPException: on_error, KaizenError: on_error, Exception: on_error},
        )

    # --- who asks -----------------------------------------------------------------------------------------------------

    def _guard(
        self, endpoint: Callable[[Request, Identity | None], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            self.in_force.loop = self.in_force.loop or asyncio.get_running_loop()
            return await endpoint(request, await self.who(request))

        return guarded

    async def who(self, request: Request) -> Identity | None:
        """Who asks: None on the Unix socket without a key, where file mode and kernel have answered that it is our own user."""
        key = bearer(request)
        keyless = STRANGER if is_stranger(request) else None
        if not key and not on_socket(request):
            raise Problem(401, "unauthorized", "Authorization: Bearer <key> is missing")
        known = self.identities.remembered(key) if key else keyless
        if known is not None or not key:
            return known
        try:
            return await asyncio.to_thread(self.identities.verify, key)
        except Unreachable:
            if on_socket(request):
                return keyless
            raise

    @staticmethod
    def agent(identity: Identity | None, said: str) -> str:
        if identity is not None and identity.agent:
            if said and said != identity.agent:
                raise Problem(403, "forbidden", "this API key is bound to another agent", field="agent")
            return identity.agent
        if said and not said.strip():
            # The control plane refuses it too, so what we acknowledged would be lost there.
            raise InvalidInput("agent", "must say something")
        return said

    # --- judging --------------------------------------------------------------------------------------------------------

    async def inspect(self, request: Request, identity: Identity | None) -> Response:
        """``POST /v1/inspect``: one action or a list of them, before they run."""

        def decoded(document: dict[str, Json]) -> Action | list[Action]:
            return self.decoded_actions(document, identity)

        asked = await read(request, decoded, aside=self._aside, limit=MAX_BATCH_BODY)
        if isinstance(asked, Action):
            return answer(encode_verdict(await self._inspect(asked)))
        turns, verdicts = Turns(), []
        for action in asked:
            verdicts.append(encode_verdict(await self._inspect(action)))
            await turns.pause()
        return answer({"verdicts": verdicts})

    def decoded_actions(self, document: dict[str, Json], identity: Identity | None) -> Action | list[Action]:
        """What is asked about: one action, or a list of them. Raises InvalidInput, TooLarge, Problem."""
        agent = self.agent(identity, text(document, "agent", limit=MAX_NAME))
        if "actions" not in document:
            return self._action(document.get("action"), agent, identity, "action")
        found = array(document, "actions", limit=MAX_BATCH)
        return [self._action(item, agent, identity, f"actions[{i}]") for i, item in enumerate(found)]

    async def _inspect(self, action: Action) -> Verdict:
        await self.in_force.ready(action.agent)
        return self.judged(action)

    def judged(self, action: Action) -> Verdict:
        """The verdict on an action before it runs, reported."""
        verdict, before = self.inspector.judge(self.occurrences.asked(action), Asked.BEFORE)
        asked = altered(action, id=verdict.action_id)
        if verdict.allowed and not (before and before.allowed):  # let through, at once or by a person: done next
            self.witness(asked)
        joined = self.joiner.see(asked, None if before and before.pending else verdict).action
        if before is None or before.pending is None:
            self.joiner.report(joined, verdict)
        elif verdict.pending is None:
            self.emit(joined, verdict, reasons.ANSWERED)
        return verdict

    def _action(self, document: Json, agent: str, identity: Identity | None, field: str) -> Action:
        return self._of_ours(decode_action(document, agent=agent, field=field), identity)

    def _of_ours(self, action: Action, identity: Identity | None) -> Action:
        """Whose agent it is comes from the key, not from the document; this sidecar serves one organisation."""
        self.agent(identity, action.agent)
        action = altered(action, organisation="")
        return told(action) if tells(identity) else action

    def emit(self, action: Action, verdict: Verdict, ending: str = "") -> bool:
        """Send a verdict; with ``ending`` as a row beside the action's own. False: it could not be kept, which is counted."""
        row = reasons.row_id(verdict.action_id, ending)
        kept = self.uplink.report(altered(action, id=row), restated(verdict, action_id=row))
        self.spool_refused += not kept
        return kept

    async def steps(self, request: Request, identity: Identity | None) -> Response:
        """``POST /v1/steps``: the other steps of a run. An action among them is judged as a report after the fact."""

        def decoded(document: dict[str, Json]) -> list[Step]:
            return self.decoded_steps(document, identity)

        steps = await read(request, decoded, aside=self._aside, limit=MAX_BATCH_BODY)
        return answer({"noted": await self.take(steps)})

    def decoded_steps(self, document: dict[str, Json], identity: Identity | None) -> list[Step]:
        """The steps of a run. Raises InvalidInput, TooLarge, Problem."""
        agent = self.agent(identity, text(document, "agent", limit=MAX_NAME))
        found = array(document, "steps", limit=MAX_BATCH)
        steps = [decode_step(item, agent=agent, field=f"steps[{i}]") for i, item in enumerate(found)]
        for step in steps:
            self.agent(identity, step.agent)
        return [told_step(step) for step in steps] if tells(identity) else steps

    async def take(self, steps: Sequence[Step], *, teller: str = "") -> int:
        """Take in steps of a run; how many these were. ``teller``: by which way the agent tells of them, as for ``Joiner.see``."""
        turns = Turns()
        for step in steps:
            if isinstance(step, Action):
                await self._observe(altered(step, organisation=""), None, teller)
            else:
                self.take_in(step)
            await turns.pause()
        return len(steps)

    def take_in(self, step: Step) -> None:
        """Take in a step that is no action: nothing of it has to be waited for."""
        step = self.occurrences.over(step) if isinstance(step, Result) else step
        self.in_force.of(step.agent)
        self.inspector.note(step)
        self.joiner.note(step)
        self.witness(step)

    async def verdicts(self, request: Request, identity: Identity | None) -> Response:
        """``POST /v1/verdicts``: one report after the fact."""
        report = await read(request, lambda document: self._report(document, identity, ""), aside=self._aside)
        verdict, kept, _ = await self._observe(report.action, report.verdict)
        if not kept:
            raise Problem(507, "spool_full", "the spool is full: the verdict could not be kept for the control plane")
        return answer(encode_verdict(verdict), 201)

    async def _observe(self, action: Action, claim: Verdict | None, teller: str = "") -> tuple[Verdict, bool, bool]:
        """Our verdict, whether it is kept, and whether the same report was here before."""
        self.witness(action)
        await self.in_force.ready(action.agent)
        # What the client refused did not happen: judged, and never learned.
        refused = claim is not None and claim.blocked
        verdict, before = self.inspector.judge(action, Asked.REFUSED if refused else Asked.AFTER)
        if claim is not None and refused:
            self.inspector.note(
                Result(run_id=action.run_id, action_id=verdict.action_id, failed=True, agent=action.agent, at=action.at)
            )
            if verdict.allowed:
                said = f"the client says that it blocked this: {claim.reason}"
                verdict = replace(verdict, notes=(*verdict.notes, said[:MAX_TEXT]))
        joined = self.joiner.see(altered(action, id=verdict.action_id), verdict, teller=teller)
        if joined.note:
            verdict = replace(verdict, notes=(*verdict.notes, joined.note))
        return verdict, self.joiner.report(joined.action, verdict), before is not None

    def _report(self, document: Json, identity: Identity | None, field: str) -> Report:
        said = text(document, "agent", field and field + ".", limit=MAX_NAME) if isinstance(document, dict) else ""
        report = decode_report(document, agent=self.agent(identity, said), field=field)
        return replace(report, action=self._of_ours(report.action, identity))

    async def batch(self, request: Request, identity: Identity | None) -> Response:
        """``POST /v1/verdicts:batch``: many reports; a bad one never loses the others."""

        def decoded(document: dict[str, Json]) -> list[Report | InvalidInput | Problem]:
            found: list[Report | InvalidInput | Problem] = []
            for i, item in enumerate(array(document, "reports", limit=MAX_BATCH)):
                try:
                    found.append(self._report(item, identity, f"reports[{i}]"))
                except (InvalidInput, Problem) as err:
                    found.append(err)
            return found

        accepted = duplicates = 0
        rejected, turns = list[dict[str, Json]](), Turns()
        for i, report in enumerate(await read(request, decoded, aside=self._aside, limit=MAX_BATCH_BODY)):
            if not isinstance(report, Report):
                rejected.append({"index": i, "field": report.field, "message": str(report)})
                continue
            _, kept, before = await self._observe(report.action, report.verdict)
            await turns.pause()
            if not kept:
                rejected.append({"index": i, "field": "", "message": "the spool is full"})
                continue
            accepted += not before
            duplicates += before
        return answer({"accepted": accepted, "duplicates": duplicates, "rejected": rejected})

    # --- what is in force ---------------------------------------------------------------------------------------------

    async def manifest(self, request: Request, identity: Identity | None) -> Response:
        """``POST /v1/agents/{agent}/manifest``: handed on to the control plane, and in force here at once."""
        agent = self.agent(identity, plain(request.path_params["agent"], "agent", limit=MAX_NAME))
        handed = await self._declare(agent, await read(request, decode_declaration, aside=self._aside))
        status = "handed on" if handed else "kept until the control plane can be reached"
        return answer({"agent": agent, "status": status}, 200 if handed else 202)

    async def _declare(self, agent: str, declaration: Declaration) -> bool:
        compile_declaration(declaration)
        held = self.in_force.of(agent)
        try:
            handed = await asyncio.to_thread(self.uplink.manifest, agent, declaration)
        except OSError as err:
            raise Problem(507, "disk_full", f"the declaration could not be kept: {err.strerror}") from err
        if held.bundle is not None:
            held.bundle = replace(held.bundle, declaration=declaration)
            self.in_force.put(agent, held.bundle)
        return handed

    async def _learned(self, hold: Hold) -> None:
        """Somebody here said that an act is normal: what it was not declared for, it is from now on."""
        bundle = (await self.in_force.ready(hold.agent)).bundle
        if bundle is not None and any(one.detection == "declaration" for one in hold.verdict.evidence):
            await self._declare(hold.agent, extended(bundle.declaration, hold.action, hold.verdict.evidence))

    async def profile(self, request: Request, identity: Identity | None) -> Response:
        """``GET /v1/agents/{agent}/profile``: what the agent declared and what was learned of it here."""
        agent = self.agent(identity, plain(request.path_params["agent"], "agent", limit=MAX_NAME))
        held = await self.in_force.ready(agent)
        bundle = held.bundle or Bundle(agent=agent, version=0)
        about = {"agent": agent, "declaration": encode_declaration(bundle.declaration), "mode": bundle.mode.value}
        return answer({**about, "paused": bundle.paused, "profile": self.inspector.profile(agent)})

    async def policy(self, request: Request, identity: Identity | None) -> Response:
        """``GET /v1/policy``: the list as deployed clients take it."""
        bundle = await self._bundle_of(request, identity)
        shown = [
            {**encode_policy(policy), "rules": spellings.for_deployed(policy.rules)}
            for policy in bundle.policies
            if policy.mode in MODES
        ]
        return answer({"policies": shown})

    async def bundle(self, request: Request, identity: Identity | None) -> Response:
        """``GET /v1/bundle``: sealed under the key that was presented; without one (Unix socket) under the empty key."""
        bundle = await self._bundle_of(request, identity)
        agent, tag = bundle.agent, tag_of(bundle)
        if request.headers.get("if-none-match") == tag:
            held = self.in_force.of(agent)
            if not await changes(held.changed, request) or tag_of(held.bundle or bundle) == tag:
                return Response(status_code=304, headers={"ETag": tag})
            bundle = held.bundle or bundle
            tag = tag_of(bundle)
        sealed = seal(bundle, signing_key(key_hash(bearer(request))))
        return Response(sealed, media_type="application/json", headers={"ETag": tag, "Cache-Control": "no-store"})

    async def _bundle_of(self, request: Request, identity: Identity | None) -> Bundle:
        said = plain(request.query_params.get("agent", ""), "agent", limit=MAX_NAME)
        agent = self.agent(identity, said) or "default"
        held = await self.in_force.ready(agent)
        if held.bundle is None:
            raise Unreachable("no bundle of this agent has arrived from the control plane yet")
        return held.bundle
