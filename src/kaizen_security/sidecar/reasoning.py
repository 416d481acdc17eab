"""The sidecar's reasoning check: what no rule settles is asked beside the work, and what a model raises is a verdict of its own.

A held action is held at once and the model is asked meanwhile: when it raises, the hold is settled as blocked and no person is
bothered; when it sees no attack, the person reads that beside the question. So nobody waits for a model, and one that is down, slow
or lying changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kaizen_security.contract import reasons
from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.boundary import boundary_key
from kaizen_security.contract.errors import KaizenError
from kaizen_security.contract.verdict import Verdict
from kaizen_security.observer.question import Answer, Question
from kaizen_security.reasoners.choice import shown
from kaizen_security.reasoners.config import Configured, judge_from
from kaizen_security.runtime import usage
from kaizen_security.runtime.clock import Clock, chance
from kaizen_security.runtime.inspector import Inspector
from kaizen_security.runtime.reasoning import Reasoning
from kaizen_security.runtime.reviews import Reviews
from kaizen_security.sidecar.http import Problem, answer
from kaizen_security.sidecar.identity import Identity
from kaizen_security.sidecar.ledger import FileLedger
from kaizen_security.sidecar.shelf import DiskShelf

log = logging.getLogger(__name__)

FILE = "reasoning.db"


Report = Callable[[Action, Verdict, str], object]
Who = Callable[[Request], Awaitable[Identity | None]]


class SidecarReasoning:
    """Nothing is asked, and nothing is written, when no model is configured. Raises Misconfigured when it cannot be used.

    ``report(action, verdict, ending)`` puts a further verdict on its way to the control plane; it must not wait.
    """

    def __init__(
        self, configured: Configured, inspector: Inspector, shelf: DiskShelf, clock: Clock, *, report: Report
    ) -> None:
        self.configured = configured
        self._inspector = inspector
        self._report = report
        self._clock = clock
        self._reasoning: Reasoning | None = None
        self._ledger: FileLedger | None = None
        self.reviews: Reviews | None = None
        key = boundary_key(shelf.boundary_secret)
        judge = judge_from(configured, key, chance=chance, clock=clock)
        if judge is None:
            return
        self._ledger = FileLedger(shelf.data / FILE)
        choice = configured.choice
        self._reasoning = Reasoning(
            judge,
            ledger=self._ledger,
            clock=clock,
            key=key,
            budget=choice.budget,
            threshold=choice.threshold,
        )
        self.reviews = Reviews(self._ask, self._answered, clock=clock)

    def start(self) -> None:
        """Begin to ask; in the event loop."""
        if self.reviews is not None:
            self.reviews.start()
            self._inspector.review = self.reviews.put

    async def close(self) -> None:
        """Ask nothing more."""
        self._inspector.review = None
        if self.reviews is not None and self._reasoning is not None and self._ledger is not None:
            await self.reviews.close()
            self._reasoning.close()
            self._ledger.close()

    async def _ask(self, question: Question) -> Answer | None:
        assert self._reasoning is not None
        return await self._reasoning.answer(question, self.configured.choice.deadline)

    async def _answered(self, question: Question, said: Answer, verdict: Verdict | None) -> None:
        action, pending = question.action, question.floor.pending
        if pending is not None:
            self._held(pending.id, said, raises=verdict is not None)
        if verdict is None:
            return
        self._inspector.distrust(action)
        # What came of a held action is one row, whoever answered: the agent's next look at it makes the same.
        ending = reasons.JUDGED if pending is None else reasons.ANSWERED
        self._report(action, replace(verdict, action_id=action.id), ending)

    def _held(self, hold_id: str, said: Answer, *, raises: bool) -> None:
        holds = self._inspector.holds
        if holds is None:
            return
        try:
            if raises:
                holds.answer(hold_id, said, reasons.JUDGE)
            else:
                holds.note(hold_id, f"{reasons.JUDGE} sees no attack: {said.why}")
        except KaizenError as err:
            # A person was faster, or its time is over: what they said stands.
            log.info("a model's answer came too late for hold %s: %s", hold_id, err)

    # --- for people -----------------------------------------------------------------------------------------------------

    def routes(self, who: Who) -> list[Route]:
        """``GET /v1/judge/usage``. ``who`` says whose key it is, or raises."""

        async def judge_usage(request: Request) -> Response:
            identity = await who(request)
            if identity is not None and identity.agent:
                raise Problem(
                    403, "forbidden", "this API key is bound to one agent, and these counts are of all of them"
                )
            return answer(await asyncio.to_thread(self.usage))

        return [Route("/v1/judge/usage", judge_usage, methods=["GET"])]

    def state(self) -> dict[str, Json]:
        """For ``GET /healthz``."""
        if self._reasoning is None or self.reviews is None:
            return {"provider": "off"}
        return {
            **self._reasoning.state().to_json(),
            "dropped": self.reviews.dropped,
            "failures": self.reviews.failures,
        }

    def usage(self) -> dict[str, Json]:
        """``GET /v1/judge/usage``. Blocks on the file. Raises StoreUnavailable."""
        choice = self.configured.choice
        today = usage.day_of(self._clock())
        days = {} if self._ledger is None else self._ledger.since(today - usage.WEEK)
        found = usage.report(days, today, choice.budget)
        if self.reviews is not None:
            found["dropped"] = self.reviews.dropped
        return {**found, "model": shown(choice), "state": self.state()}
