"""Reasoning: what stands between a question and a model. A cache, a budget, a breaker, a deadline; every call is counted first.

A model is slow, costs money and may be down, so none of that may reach whoever waits: in each such case there is no answer, and the
floor stands. Calls are counted before they are made, so that a crash in the middle cannot make one free.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import re
import threading
from collections import Counter, OrderedDict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.errors import KaizenError
from kaizen_security.observer.question import Answer, Question
from kaizen_security.observer.raising import RAISING
from kaizen_security.reasoners.base import Attempt, Judge, Outcome
from kaizen_security.reasoners.case import case
from kaizen_security.reasoners.choice import Budget
from kaizen_security.runtime import usage
from kaizen_security.runtime.aside import aside
from kaizen_security.runtime.clock import Clock
from kaizen_security.runtime.usage import Ledger

log = logging.getLogger(__name__)

AT_ONCE = 4
"""Questions that a model is asked at the same time; a further one has no answer."""
REMEMBERED = 2048
FRESH = 3600.0
"""Seconds for which an answer to a question of the same shape holds."""
FAILURES = 5
"""Failures in a row after which the model rests."""
REST = 30.0
"""Seconds that it rests the first time, twice as long each further one."""
LONGEST_REST = 900.0
_OTHERS = ("", "")
_TOKEN = re.compile(r"~[0-9a-f]{16}")
_BROKEN = frozenset({Outcome.LATE, Outcome.BUSY, Outcome.FAILED, Outcome.REFUSED})
"""What counts against a model. Not a shapeless answer, nor a refusal of one question, or who can bring one about (by a host's name
that the provider's filter dislikes) could switch the check off for others.
"""


class Breaker:
    """After ``FAILURES`` in a row nobody asks until the rest is over; then one may try, and its outcome decides."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = 0
        self._rests = 0
        self._until = 0.0
        self._trying = False
        self._lock = threading.Lock()

    @property
    def resting(self) -> bool:
        """Whether it rests now."""
        return self._until > self._clock()

    def may(self) -> bool:
        """Whether to ask now; who is told yes has to report back."""
        with self._lock:
            if self._failures < FAILURES:
                return True
            # A clock that was set back must not make the rest longer than it is.
            if self._trying or 0 < self._until - self._clock() <= LONGEST_REST:
                return False
            self._trying = True
            return True

    def abandoned(self) -> None:
        """Nothing came of asking, and that is nobody's fault."""
        with self._lock:
            self._trying = False

    def reported(self, *, broken: bool) -> None:
        """What came of asking."""
        with self._lock:
            self._trying = False
            if not broken:
                self._failures = self._rests = 0
                self._until = 0.0
                return
            self._failures += 1
            if self._failures >= FAILURES:
                self._until = self._clock() + min(LONGEST_REST, REST * 2.0 ** min(self._rests, 16))
                self._rests += 1


class Shares:
    """How many calls each agent has had of the day (UTC); ``most`` of one, 0 for no bound. Forgotten when the process ends."""

    def __init__(self, most: int, clock: Clock) -> None:
        self._most = most
        self._clock = clock
        self._day = 0
        self._taken: Counter[tuple[str, str]] = Counter()

    def _today(self) -> Counter[tuple[str, str]]:
        day = usage.day_of(self._clock())
        if day != self._day:
            self._day = day
            self._taken.clear()
        return self._taken

    def spent(self, action: Action) -> bool:
        """Whether that agent has had its share."""
        taken = self._today()
        who = (action.organisation, action.agent)
        # Names that nobody has seen before are no way around: when there are too many of them, they share.
        return (
            bool(self._most)
            and (taken[who] if who in taken or len(taken) < REMEMBERED else taken[_OTHERS]) >= self._most
        )

    def take(self, action: Action) -> None:
        """A call for that agent."""
        taken = self._today()
        who = (action.organisation, action.agent)
        taken[who if who in taken or len(taken) < REMEMBERED else _OTHERS] += 1


class _Known(NamedTuple):
    """An answer, or the asking that will bring one; ``until`` when it is forgotten."""

    asking: asyncio.Future[Answer | None]
    until: float


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """For people: who is asked, whether it rests after failures, and what went wrong last."""

    provider: str
    local: bool
    resting: bool
    problem: str = ""

    def to_json(self) -> dict[str, Json]:
        """As a document."""
        return {
            "provider": self.provider,
            "local": self.local,
            "resting": self.resting,
            "problem": self.problem or None,
        }


class Reasoning:
    """Asks one judge, within bounds. Its methods belong to one event loop; the judge works in threads.

    ``key``        keys the shapes of questions
    ``threshold``  what raises and is less sure is no answer
    """

    def __init__(
        self,
        judge: Judge,
        *,
        ledger: Ledger,
        clock: Clock,
        key: bytes,
        budget: Budget | None = None,
        threshold: float = 0.0,
        at_once: int = AT_ONCE,
        remembered: int = REMEMBERED,
    ) -> None:
        self.judge = judge
        self.budget = budget or Budget()
        self.problem = ""
        self._ledger = ledger
        self._clock = clock
        self._key = key
        self._threshold = threshold
        self._remembered = remembered
        self._breaker = Breaker(clock)
        self._shares = Shares(self.budget.agent_calls, clock)
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._slots = threading.BoundedSemaphore(at_once)
        self._closed = False
        self._counting = ThreadPoolExecutor(1, thread_name_prefix="reasoning-usage")

    def state(self) -> State:
        """How it stands."""
        return State(
            provider=self.judge.name, local=self.judge.local, resting=self._breaker.resting, problem=self.problem
        )

    def close(self) -> None:
        """Ask nobody any more; an exchange that is under way is left to its deadline."""
        self._closed = True
        self._counting.shutdown(wait=True)

    async def answer(self, question: Question, deadline: float) -> Answer | None:
        """The answer, from memory or from the judge, or None. At most ``deadline`` seconds, and a little for counting."""
        shape = shape_of(question, self._key)
        known = self._recall(shape)
        counts: Counter[str] = Counter({usage.QUESTIONS: 1})
        if known is not None:
            # Two questions of one shape at the same time are one call: the second waits for the first.
            answer = await _within(known.asking, deadline)
            counts[usage.CACHED] += 1
            await self._count(counts)
            return self._sure(answer)
        asking: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._remember(shape, asking)
        answer = None
        try:
            answer = await self._ask(question, deadline, counts)
        finally:
            asking.set_result(answer)
            if answer is None:
                self._known.pop(shape, None)
        return self._sure(answer)

    def _sure(self, answer: Answer | None) -> Answer | None:
        if answer is None or answer.word not in RAISING or (answer.confidence or 0.0) >= self._threshold:
            return answer
        return None

    async def _ask(self, question: Question, deadline: float, counts: Counter[str]) -> Answer | None:
        skipped = await self._skipped(question.action)
        if skipped:
            counts[skipped] += 1
            await self._count(counts)
            return None
        counts[usage.CALLS] += 1
        if not await self._count(counts):
            # What cannot be counted would be outside every budget.
            self._slots.release()
            self._breaker.abandoned()
            return None
        try:
            attempt = await self._attempt(question, deadline)
        except asyncio.CancelledError:
            self._breaker.abandoned()
            raise
        return await self._heard(attempt)

    async def _skipped(self, action: Action) -> str:
        """Why nobody is asked, ``""`` when somebody is; then a slot is taken."""
        try:
            today = await self._today()
        except KaizenError as err:
            self.problem = f"the usage cannot be read: {err}"
            return "uncounted"
        if not self.judge.local and (usage.exhausted(self.budget, today) or self._shares.spent(action)):
            return "over_budget"
        if not self._slots.acquire(blocking=False):
            return "crowded"
        if not self._breaker.may():
            self._slots.release()
            return "resting"
        self._shares.take(action)
        return ""

    async def _attempt(self, question: Question, deadline: float) -> Attempt:
        if self._closed:
            self._slots.release()
            return Attempt(outcome=Outcome.FAILED, problem="asked after it was closed")
        try:
            # A judge that outstays its deadline keeps its slot until it is done: those behind it are turned away, not piled up.
            return await asyncio.wait_for(aside(lambda: self._work(question, deadline), name="reasoning"), deadline)
        except TimeoutError:
            return Attempt(outcome=Outcome.LATE, problem=f"no answer within {deadline:g} s")
        except RuntimeError:
            self._slots.release()  # there is no thread that would
            return Attempt(outcome=Outcome.FAILED, problem="the system starts no thread more")

    def _work(self, question: Question, deadline: float) -> Attempt:
        try:
            return self.judge.attempt(question, deadline)
        except Exception as err:  # noqa: BLE001 - a listed boundary
            # A judge may be anybody's code: its mistake is no answer. Its message may hold a key, so only its kind is told.
            return Attempt(outcome=Outcome.FAILED, problem=f"the reasoner failed ({type(err).__name__})")
        finally:
            self._slots.release()

    async def _heard(self, attempt: Attempt) -> Answer | None:
        if attempt.only_this:
            self._breaker.abandoned()
        else:
            self._breaker.reported(broken=attempt.outcome in _BROKEN)
        answer = attempt.answer
        counts: Counter[str] = Counter()
        if answer is None:
            counts[attempt.outcome.value] += 1
            if attempt.problem != self.problem:
                log.warning("reasoning: no answer from %s: %s", self.judge.name, attempt.problem)
            self.problem = attempt.problem
        else:
            self.problem = ""
            counts[usage.UNSURE if self._sure(answer) is None else answer.word.value] += 1
        counts[usage.INPUT] += attempt.input_tokens
        counts[usage.OUTPUT] += attempt.output_tokens
        counts[usage.MONEY] += usage.cost(self.budget, attempt.input_tokens, attempt.output_tokens)
        await self._count(counts)
        return answer

    # --- counting -------------------------------------------------------------------------------------------------------

    async def _today(self) -> Mapping[str, int]:
        today = usage.day_of(self._clock())
        loop = asyncio.get_running_loop()
        return (await loop.run_in_executor(self._counting, self._ledger.since, today)).get(today, {})

    async def _count(self, counts: Mapping[str, int]) -> bool:
        """Whether it could be counted."""
        said = {name: n for name, n in counts.items() if n}
        if not said:
            return True
        day = usage.day_of(self._clock())
        try:
            await asyncio.get_running_loop().run_in_executor(self._counting, self._ledger.add, day, said)
        except KaizenError as err:
            self.problem = f"the usage cannot be written: {err}"
            log.warning("reasoning: %s", self.problem)
            return False
        return True

    # --- the memory of answers ---------------------------------------------------------------------------------------------

    def _recall(self, shape: str) -> _Known | None:
        known = self._known.get(shape)
        if known is None:
            return None
        if not 0 <= known.until - self._clock() <= FRESH:
            del self._known[shape]
            return None
        self._known.move_to_end(shape)
        return known

    def _remember(self, shape: str, asking: asyncio.Future[Answer | None]) -> None:
        self._known[shape] = _Known(asking, self._clock() + FRESH)
        if len(self._known) > self._remembered:
            self._known.popitem(last=False)


async def _within(asking: asyncio.Future[Answer | None], deadline: float) -> Answer | None:
    if asking.done():
        return asking.result()
    try:
        return await asyncio.wait_for(asyncio.shield(asking), deadline)
    except TimeoutError:
        return None


def shape_of(question: Question, key: bytes) -> str:
    """The shape of a question: two of one shape get one answer.

    A model sees of a value its type, its length and a hash, so all that a hash can tell it is which values are equal: hashes are
    numbered in order of appearance, lengths and counts are rounded to powers of two, shares to tenths.
    """
    seen: dict[str, str] = {}
    document = json.dumps(_rounded(case(question, key)), sort_keys=True)
    plain = _TOKEN.sub(lambda found: seen.setdefault(found[0], f"~{len(seen)}"), document)
    return hashlib.sha256(f"{question.mode.value} {plain}".encode()).hexdigest()


def _rounded(document: Json) -> Json:
    match document:
        case dict():
            return {name: _rounded(value) for name, value in document.items()}
        case list():
            return [_rounded(value) for value in document]
        case bool():
            return document
        case int():
            return document.bit_length()
        case float():
            return round(document, 1)
    return document
