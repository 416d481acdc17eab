"""The control plane's own reasoning check: what deployed clients report is evaluated here, and what no rule settles there is asked.

Each organisation has a model of its own, its key sealed by the vault, its budget and its count. What sidecars report was judged by
them, and is not asked about again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import TypeVar

from kaizen_security.contract.action import Json
from kaizen_security.contract.boundary import boundary_key
from kaizen_security.contract.errors import InvalidInput, KaizenError, Misconfigured, Unreachable
from kaizen_security.contract.verdict import Verdict
from kaizen_security.net import outbound
from kaizen_security.observer.question import Answer, Question
from kaizen_security.reasoners.base import Attempt, Judge
from kaizen_security.reasoners.choice import OFF, Choice, judge_of, read_choice, shown
from kaizen_security.reasoners.trial import Trial, trial
from kaizen_security.runtime import usage
from kaizen_security.runtime.aside import aside
from kaizen_security.runtime.clock import Clock, chance
from kaizen_security.runtime.inspector import Inspector
from kaizen_security.runtime.reasoning import Reasoning
from kaizen_security.runtime.reviews import Reviews
from kaizen_security.server.http import too_many
from kaizen_security.server.settings import Settings
from kaizen_security.store.base import Store
from kaizen_security.store.models import Model, Models

log = logging.getLogger(__name__)

_TESTS = 4
"""Tests at a time, one of an organisation: each may take a deadline."""

_T = TypeVar("_T")
Further = Callable[[int, Question, Verdict], Awaitable[None]]
Dismissed = Callable[[int, Question], Awaitable[bool]]


class _Ledger:
    """``runtime.usage.Ledger`` of one organisation. ``everybody`` counts for all of them, since the start."""

    def __init__(self, models: Models, organisation: int, everybody: Counter[str]) -> None:
        self._models = models
        self._organisation = organisation
        self._everybody = everybody

    def add(self, day: int, counts: Mapping[str, int]) -> None:
        """Add. Raises StoreFull, StoreUnavailable."""
        self._models.count(self._organisation, day, counts)
        self._everybody.update(counts)

    def since(self, day: int) -> Mapping[int, Mapping[str, int]]:
        """From ``day`` on. Raises StoreUnavailable."""
        return self._models.counted(self._organisation, day)


@dataclass(slots=True)
class _Own:
    """What one organisation chose. ``problem`` says why it cannot be asked. Each has a queue of its own: none waits for another."""

    choice: Choice
    judge: Judge | None = None
    reasoning: Reasoning | None = None
    reviews: Reviews | None = None
    problem: str = ""


class ServerReasoning:
    """``tell(organisation, question, verdict)`` keeps what a model raised; ``dismissed(organisation, question)``: whether a person
    called it a false positive before. Whoever makes the server sets both.
    """

    def __init__(
        self, store: Store, clock: Clock, executor: Executor, settings: Settings, inspector: Inspector
    ) -> None:
        self._store = store
        self._clock = clock
        self._executor = executor
        self._settings = settings
        self._inspector = inspector
        self._own: dict[int, _Own] = {}
        self._tests = asyncio.Semaphore(_TESTS)
        self._testing: set[int] = set()
        # Each its own: where a name is slow to resolve, nobody else waits.
        self._changing: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        self.counted: Counter[str] = Counter()
        """As in ``runtime.usage``, of all organisations together, since the start."""
        self.further: Further | None = None
        self.dismissed: Dismissed | None = None

    async def start(self) -> None:
        """Take up what was chosen, and begin to ask."""
        for model in await self._off(self._store.models.every):
            await self._take(model)
        self._listen()

    async def close(self) -> None:
        """Ask nothing more."""
        self._inspector.review = None
        for own in self._own.values():
            await self._let_go(own)

    # --- what is chosen ---------------------------------------------------------------------------------------------------

    def choice(self, organisation: int) -> Choice:
        """What an organisation chose; OFF when it never did."""
        own = self._own.get(organisation)
        return OFF if own is None else own.choice

    def state(self, organisation: int) -> dict[str, Json]:
        """How its model stands."""
        own = self._own.get(organisation)
        if own is None or own.reasoning is None:
            known, problem = (OFF, "") if own is None else (own.choice, own.problem)
            return {"provider": known.provider.value, "local": False, "resting": False, "problem": problem or None}
        dropped = 0 if own.reviews is None else own.reviews.dropped
        return {**own.reasoning.state().to_json(), "dropped": dropped}

    async def change(self, organisation: int, document: Mapping[str, Json]) -> Choice:
        """Choose as ``POST /v1/llm-config`` says. Raises InvalidInput, Misconfigured, StoreFull."""
        async with self._changing[organisation]:
            chosen = read_choice(document, self.choice(organisation))
            await self._outward(chosen)
            # What cannot be asked is refused here rather than kept.
            judge_of(chosen, b"", permitted=self._settings.permitted)
            sealed = b""
            if chosen.key:
                if self._settings.vault is None:
                    raise Misconfigured(
                        "this server was started without a key for secrets, so it cannot keep an API key"
                    )
                place = _place(organisation, chosen)
                sealed = await self._off(lambda: self._sealed(chosen.key, place))
            model = Model(organisation=organisation, document=shown(chosen), sealed=sealed, changed_at=self._clock())
            await self._off(lambda: self._store.models.put(model))
            await self._take(model)
            self._listen()
            return chosen

    def _sealed(self, key: str, place: str) -> bytes:
        assert self._settings.vault is not None
        return self._settings.vault.seal(key.encode(), place=place)

    async def _outward(self, chosen: Choice) -> None:
        # Refused here already where it points inwards; looked at again for every question, since names change.
        if not chosen.place:
            return

        def look() -> None:
            try:
                outbound.check(chosen.place, permitted=self._settings.permitted)
            except Unreachable:
                return
            except Misconfigured as err:
                raise InvalidInput("base_url", f"cannot be used: {err} (kaizen server --permit-export)") from err

        await aside(look, name="model-look")

    async def _take(self, model: Model) -> None:
        """Put a choice in force. One that cannot be used asks nobody, and says why."""
        before = self._own.pop(model.organisation, None)
        if before is not None:
            await self._let_go(before)
        try:
            own = await self._off(lambda: self._made(model))
        except KaizenError as err:
            log.warning("the reasoning model of organisation %d cannot be asked: %s", model.organisation, err)
            own = _Own(_known(model), problem=str(err))
        if own.reasoning is not None:
            own.reviews = Reviews(self._ask, self._answered, clock=self._clock)
            own.reviews.start()
        self._own[model.organisation] = own

    async def _let_go(self, own: _Own) -> None:
        if own.reviews is not None:
            await own.reviews.close()
        if own.reasoning is not None:
            await self._off(own.reasoning.close)

    def _made(self, model: Model) -> _Own:
        bare = _without_key(model)
        key = ""
        if model.sealed:
            if self._settings.vault is None:
                raise Misconfigured("this server was started without a key for secrets")
            key = self._settings.vault.open(model.sealed, place=_place(model.organisation, bare)).decode()
        chosen = replace(bare, key=key)
        owner = self._store.organisation(model.organisation)
        hashing = boundary_key(b"" if owner is None else owner.boundary_secret)
        judge = judge_of(chosen, hashing, permitted=self._settings.permitted, chance=chance)
        if judge is None:
            return _Own(chosen)
        reasoning = Reasoning(
            judge,
            ledger=_Ledger(self._store.models, model.organisation, self.counted),
            clock=self._clock,
            key=hashing,
            budget=chosen.budget,
            threshold=chosen.threshold,
        )
        return _Own(chosen, judge, reasoning)

    # --- asking -----------------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        # Without a model nobody's facts are gathered: evaluation costs what it did before.
        asks = any(own.reasoning is not None for own in self._own.values())
        self._inspector.review = self._put if asks else None

    def _put(self, question: Question) -> None:
        own = self._own.get(int(question.action.organisation))
        if own is not None and own.reviews is not None:
            own.reviews.put(question)

    async def _ask(self, question: Question) -> Answer | None:
        organisation = int(question.action.organisation)
        own = self._own.get(organisation)
        if own is None or own.reasoning is None:
            return None
        if self.dismissed is not None and await self.dismissed(organisation, question):
            return None
        return await own.reasoning.answer(question, own.choice.deadline)

    async def _answered(self, question: Question, said: Answer, verdict: Verdict | None) -> None:
        if verdict is not None and self.further is not None:
            self._inspector.distrust(question.action)
            await self.further(int(question.action.organisation), question, verdict)

    async def test(self, organisation: int) -> Trial:
        """Ask a made-up question now, within the budget and counted in it. Raises Misconfigured when nobody is asked."""
        own = self._own.get(organisation)
        if own is None or own.judge is None:
            raise Misconfigured((own.problem if own is not None else "") or "no model is chosen: nobody is asked")
        judge, deadline = own.judge, own.choice.deadline
        spent = await self._off(lambda: self._store.models.counted(organisation, self._today()))
        gone = "" if judge.local else usage.exhausted(own.choice.budget, spent.get(self._today(), {}))
        if gone:
            raise Misconfigured(f"today's budget of {gone} is used up")
        if organisation in self._testing:
            raise too_many("a test of this organisation's model is under way", 1.0)
        self._testing.add(organisation)
        try:
            await self._count(organisation, {usage.CALLS: 1})
            async with self._tests:
                found = await aside(lambda: trial(judge, deadline), name="model-test")
        finally:
            self._testing.discard(organisation)
        await self._count(organisation, _spent(own.choice, found.attempt))
        return found

    async def _count(self, organisation: int, counts: Mapping[str, int]) -> None:
        day, said = self._today(), {name: n for name, n in counts.items() if n}
        ledger = _Ledger(self._store.models, organisation, self.counted)
        await self._off(lambda: ledger.add(day, said))

    async def usage(self, organisation: int) -> dict[str, Json]:
        """``GET /v1/judge/usage``."""
        today, choice = self._today(), self.choice(organisation)
        days = await self._off(lambda: self._store.models.counted(organisation, today - usage.WEEK))
        return {**usage.report(days, today, choice.budget), "state": self.state(organisation)}

    def _today(self) -> int:
        return usage.day_of(self._clock())

    async def _off(self, function: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function)


def _spent(choice: Choice, attempt: Attempt) -> dict[str, int]:
    return {
        usage.INPUT: attempt.input_tokens,
        usage.OUTPUT: attempt.output_tokens,
        usage.MONEY: usage.cost(choice.budget, attempt.input_tokens, attempt.output_tokens),
    }


def _known(model: Model) -> Choice:
    """What was chosen, as far as this program can still read it: a server must start whatever stands there."""
    try:
        return _without_key(model)
    except InvalidInput:
        return OFF


def _without_key(model: Model) -> Choice:
    """What was chosen. The key is not needed to read it, so one stands in for it."""
    known = {**model.document, "api_key": "-"} if model.document.get("has_key") is True else dict(model.document)
    return replace(read_choice(known), key="")


def _place(organisation: int, choice: Choice) -> str:
    # Bound to where the key goes: whoever can write the database, and not the vault's key, cannot have it sent elsewhere.
    return f"kaizen model {organisation} {choice.provider.value} {choice.place}"


def document(choice: Choice, state: Mapping[str, Json]) -> dict[str, Json]:
    """``GET /v1/llm-config``."""
    return {**shown(choice), "state": dict(state)}
