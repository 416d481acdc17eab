"""The Inspector: the one way of an action through the Observer, for the sidecar, the control plane, the corpus and replay.

Synchronous and quick. One lane an agent, held for note, assess, conclude and learn, never across a wait. The same action (same id)
is judged once; asking again gives the same verdict.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace
from enum import Enum
from typing import NamedTuple

from kaizen_security.contract import reasons
from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.depth import Rung
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.hold import Hold
from kaizen_security.contract.step import Claim, Effect, End, Message, Request, Result, Step
from kaizen_security.contract.verdict import Decision, Mode, Pending, Verdict
from kaizen_security.observer.ending import Endings
from kaizen_security.observer.observer import Observer
from kaizen_security.observer.question import Answer, Question, Word
from kaizen_security.observer.weigh import TOLERANCE, Weighed
from kaizen_security.runtime.agents import AgentKey, Agents, Lane
from kaizen_security.runtime.clock import Clock, new_id
from kaizen_security.runtime.clock import now as wall
from kaizen_security.runtime.company import Company
from kaizen_security.runtime.hold_table import NoSuchHold
from kaizen_security.runtime.holds import Holds

log = logging.getLogger(__name__)

SKEW = 60.0
"""Seconds that a stated time may be ahead of the clock; one further ahead is not believed."""


class Asked(Enum):
    """When an action is brought for a verdict."""

    BEFORE = "before it runs"
    AFTER = "as a report after the fact"
    REFUSED = (
        "as one that its client says that it refused: judged and not learned, and nobody is asked about it any more"
    )


class Judged(NamedTuple):
    """``before``: the verdict that this very action (same id, same deed) had until now, as far as it is remembered."""

    verdict: Verdict
    before: Verdict | None


class Inspector:
    """Judges the actions of many agents. Safe to call from several threads.

    ``agents``      where the Observers are; its own, without a shelf, when none is given
    ``clock``       gives Unix seconds for what states no time
    ``ids``         gives an id to an action that has none
    ``remembered``  verdicts kept for repeated ids, all agents together; the oldest go first
    ``holds``       where questions wait for a person; without it nobody is asked, and what would be held is blocked
    """

    def __init__(
        self,
        agents: Agents | None = None,
        *,
        clock: Clock = wall,
        ids: Callable[[], str] = new_id,
        remembered: int = 16_384,
        holds: Holds | None = None,
    ) -> None:
        self.agents = agents if agents is not None else Agents()
        self._clock = clock
        self._ids = ids
        self._remembered = remembered
        self._verdicts: OrderedDict[tuple[AgentKey, str], tuple[int, Verdict]] = OrderedDict()
        self._memory = threading.Lock()
        self.holds = holds
        self.inspected = 0
        self.failures = 0
        self.review: Callable[[Question], None] | None = None
        """Told of every new question, also of those that nobody waits for; must not wait (``runtime.reviews.Reviews.put``)."""
        self.endings = Endings()
        self._company = Company()

    # --- one action ---------------------------------------------------------------------------------------------------

    def inspect(self, action: Action) -> Verdict:
        """The verdict before the action runs. Learned only once it has completed. Idempotent by ``action.id``, except that an
        action which was allowed is blocked when it is asked about again and what is in force by then denies it, and that one which
        was held gets its answer.
        """
        return self.judge(action, Asked.BEFORE).verdict

    def observe(self, action: Action) -> Verdict:
        """The verdict on what is reported after the fact: note, assess, learn. Idempotent by ``action.id``.

        The report of an action that was inspected before completes it and gets the verdict that it got then.
        """
        return self.judge(action, Asked.AFTER).verdict

    def judge(self, action: Action, asked: Asked) -> Judged:
        """The verdict, and the one that this very action had before. ``inspect`` and ``observe`` say what it means."""
        completed = asked is Asked.AFTER or (asked is Asked.BEFORE and action.rung >= Rung.EGRESS)
        asking = asked is not Asked.REFUSED
        if not action.id:
            action = replace(action, id=self._ids())
        for step in self._company.joins(action):
            self._take(step, action.organisation)
        key = AgentKey(action.organisation, action.agent)
        mark = _mark(action)
        lane = self.agents.lane(key)
        with lane.lock:
            known = self._recall(key, action.id, mark)
            if known is not None:
                if completed:
                    lane.observer.complete(action)
                    lane.dirty = True
                    return Judged(known, known)
                if known.blocked and known.pending is None:
                    return Judged(known, known)
                # Asked again before it runs: what was denied since then, by a new policy or after what its run has read, is
                # denied now. Nothing else of the first verdict changes, and nothing is learned twice.
                verdict = self._line(lane, action, completed=False, again=known.allowed, asking=asking)
                if self.holds is not None and known.pending is not None and verdict.pending is None:
                    self.holds.withdraw(key, action)
                if verdict.allowed and known.allowed:
                    return Judged(known, known)
                self._remember(key, action.id, mark, verdict)
                return Judged(verdict, known)
            self.inspected += not completed
            verdict = self._line(lane, action, completed=completed, fresh=True, asking=asking)
            self._remember(key, action.id, mark, verdict)
            return Judged(verdict, None)

    def _line(
        self,
        lane: Lane,
        action: Action,
        *,
        completed: bool,
        again: bool = False,
        fresh: bool = False,
        asking: bool = True,
    ) -> Verdict:
        now = self._time(lane, action.at)
        observer = lane.observer
        observer.wake(now)
        lane.known = self.agents.roles.acquaint(action.organisation, action.agent, observer, lane.known)
        try:
            observer.note(action, now)
            weighed = observer.weighed(action, now)
            if self.holds is not None and not completed and asking:
                weighed = self._held(self.holds, lane, action, weighed, now)
            if not again or weighed.verdict.blocked:
                observer.learn(action, weighed, now, completed=completed)
            if fresh and self.review is not None and observer.rules.judge_enabled:
                self._ask(self.review, observer, action, weighed, now)
        except Exception:
            # A detection that breaks must neither bring the agent down nor let everything through in silence.
            self.failures += 1
            log.exception("no verdict for action %s", action.id)
            return _failed(action, lane, now)
        lane.dirty = True
        return weighed.verdict

    def _ask(
        self, review: Callable[[Question], None], observer: Observer, action: Action, weighed: Weighed, now: float
    ) -> None:
        """Put what no rule settles; what it adds to is asked again when the run is over, with the rest of it."""
        if not (weighed.unsettled or action.run_id):
            return
        question = observer.question(action, weighed, now)
        if weighed.unsettled:
            review(question)
        if not observer.rules.paused:
            with self._memory:
                self.endings.judged(question)

    def heard(self, action: Action, verdict: Verdict) -> None:
        """Something was found of a run elsewhere (a gap): whoever looks at the whole run gets to know."""
        with self._memory:
            self.endings.heard(action, verdict)

    @staticmethod
    def _held(holds: Holds, lane: Lane, action: Action, found: Weighed, now: float) -> Weighed:
        """What holds make of a verdict: a question waits, or is settled by the answer that was given. A certain block is none."""
        key = AgentKey(action.organisation, action.agent)
        floor = found.verdict
        if not found.asks:
            standing = holds.standing(key, action) if floor.allowed else None
            return found if standing is None else Weighed(_standing(standing, floor), clean=False)
        observer = lane.observer
        question = observer.question(action, found, now)
        ruling = holds.ask(key, question, observer.limits.hold)
        if ruling.answer is not None:
            return replace(found, verdict=observer.conclude(question, ruling.answer, now))
        if ruling.pending is not None:
            return replace(found, verdict=_pending(ruling.pending, floor))
        return replace(found, verdict=replace(floor, notes=(*floor.notes, ruling.note)))

    def _time(self, lane: Lane, stated: float) -> float:
        # An agent's time never runs backwards, or a late report would settle nothing and an early one everything.
        clock = self._clock()
        if not lane.touched:
            # Nor when the agent was out of memory in between: what it learned before is older than what it says now.
            lane.now = min(lane.observer.baseline.behaviour.latest, clock)
        lane.touched = clock
        at = stated if stated and stated <= clock + SKEW else clock
        lane.now = max(lane.now, at)
        return lane.now

    # --- the memory of verdicts -----------------------------------------------------------------------------------------

    def _recall(self, key: AgentKey, action_id: str, mark: int) -> Verdict | None:
        with self._memory:
            known = self._verdicts.get((key, action_id))
            if known is None or known[0] != mark:
                # The same id on another deed is another action: a verdict must not be carried over to it.
                return None
            self._verdicts.move_to_end((key, action_id))
            return known[1]

    def _remember(self, key: AgentKey, action_id: str, mark: int, verdict: Verdict) -> None:
        with self._memory:
            self._verdicts[key, action_id] = (mark, verdict)
            if len(self._verdicts) > self._remembered:
                self._verdicts.popitem(last=False)

    # --- the rest of a run ------------------------------------------------------------------------------------------------

    def note(self, step: Step, *, organisation: str = "") -> None:
        """Take in a step of a run. An Action among the steps is observed, and its verdict dropped: use ``observe`` for it."""
        if isinstance(step, Action):
            self.observe(step)
            return
        self._take(step, organisation)
        for other in self._company.heard(step, organisation):
            self._take(other, organisation)

    def _take(self, step: Request | Result | Message | Claim | Effect | End, organisation: str) -> None:
        lane = self.agents.lane(AgentKey(organisation, step.agent))
        with lane.lock:
            now = self._time(lane, step.at)
            lane.observer.wake(now)
            lane.observer.note(step, now)
            if isinstance(step, End):
                lane.known = self.agents.roles.acquaint(organisation, step.agent, lane.observer, lane.known)
            lane.dirty = True
        if isinstance(step, End):
            with self._memory:
                self.endings.ended((organisation, step.agent, step.run_id), self._clock())
        if self.holds is not None and isinstance(step, End):
            self.holds.end(AgentKey(organisation, step.agent), step.run_id)
        elif self.holds is not None and isinstance(step, Result) and step.failed:
            self.holds.abandon(AgentKey(organisation, step.agent), step.action_id)

    def distrust(self, action: Action) -> None:
        """A model raised what was let through: neither the action nor anything else of its run is learned from now on."""
        lane = self.agents.lane(AgentKey(action.organisation, action.agent))
        with lane.lock:
            lane.observer.distrust(action)
            lane.dirty = True

    def configure(self, agent: str, bundle: Bundle, *, organisation: str = "") -> None:
        """Put a bundle in force, and into the baseline what people did to it.

        Raises Misconfigured naming policy and rule; then the one before stays in force.
        """
        rules = self.agents.rules.make(bundle)
        lane = self.agents.lane(AgentKey(organisation, agent))
        with lane.lock:
            lane.observer.rules = rules
            lane.dirty |= lane.observer.catch_up(bundle.epoch, bundle.folded)

    def wake(self, now: float) -> None:
        """Settle in every agent what needed time. ``now`` in Unix seconds, by the same clock.

        An agent whose steps state times of their own (a late report, a replay) is as far as its last step plus what has passed
        since: so waking it does not move its steps to another time.
        """
        for _, lane in self.agents:
            with lane.lock:
                # Most agents have nothing to settle: they need not be saved again.
                lane.dirty |= lane.observer.wake(lane.now + max(0.0, now - lane.touched))
        with self._memory:
            over = list(self.endings.due(now))
        for question in over:
            if self.review is not None:
                self.review(question)

    # --- what a person does ------------------------------------------------------------------------------------------------

    def fold(self, agent: str, actions: Iterable[Action], *, organisation: str = "") -> None:
        """A person says that these actions are normal for the agent: learn them, flagged or not."""
        lane = self.agents.lane(AgentKey(organisation, agent))
        with lane.lock:
            lane.observer.fold(actions)
            lane.dirty = True

    def answer(self, hold_id: str, word: Word, by: str, *, organisation: str = "") -> Hold:
        """A person of that name answers what is held. ``LEARN`` also folds the act, so that it is not asked about again.

        Raises NoSuchHold, AlreadySettled, NoRun.
        """
        if self.holds is None:
            raise NoSuchHold("nothing is held here")
        hold, act = self.holds.answer(hold_id, Answer(word=word, by="person"), by)
        if word is Word.LEARN:
            lane = self.agents.lane(AgentKey(organisation, hold.agent))
            with lane.lock:
                lane.observer.ratify(hold.action, act)
                lane.dirty = True
        return hold

    def profile(self, agent: str, *, organisation: str = "") -> dict[str, Json]:
        """What the agent's baseline holds, how old it is, what moving it would cost, and what bounds have cost."""
        lane = self.agents.lane(AgentKey(organisation, agent))
        with lane.lock:
            observer = lane.observer
            budget: dict[str, Json] = {}
            for name, row in observer.baseline.poisoning_budget(TOLERANCE).items():
                budget[name] = dict(row.items())
            return {
                "agent": agent,
                "seen": observer.baseline.seen,
                "learned": observer.baseline.profile(),
                "poisoning_budget": budget,
                "losses": {**observer.losses.to_json(), "values_forgotten": observer.baseline.forgotten},
                "candidates": dict(observer.counted),
            }


def _pending(hold: Hold, floor: Verdict) -> Verdict:
    pending = Pending(id=hold.id, expires_at=hold.expires_at)
    return replace(floor, pending=pending, notes=(*floor.notes, reasons.HELD))


def _standing(hold: Hold, now_said: Verdict) -> Verdict:
    """What was held before a restart stays held or blocked, though what its run had read is forgotten."""
    floor = replace(hold.verdict, action_id=now_said.action_id, policy_version=now_said.policy_version, at=now_said.at)
    if hold.waiting:
        return _pending(hold, floor)
    return replace(floor, notes=(*floor.notes, reasons.UNANSWERED if hold.answer is None else reasons.DENIED))


def _mark(action: Action) -> int:
    """Tells deeds apart that carry the same id. Only ever compared within one process."""
    return hash(
        (
            action.kind,
            action.tool,
            action.publisher,
            action.target,
            action.hash,
            action.run_id,
            repr(action.metadata) if action.metadata else "",
        )
    )


def _failed(action: Action, lane: Lane, now: float) -> Verdict:
    # Nobody can answer: the policy still blocks, enforce mode blocks, and what is left is allowed with a finding that says so.
    rules = lane.observer.rules
    finding = Finding(
        kind="unprotected",
        value="",
        source="observer",
        detection="observer",
        observed="a detection failed on this action; the process's own output says how",
        advice="Report it as a defect; until it is mended only policy is applied.",
    )
    verdict = Verdict(
        decision=Decision.BLOCK, reason=reasons.FAILED_CLOSED, action_id=action.id, policy_version=rules.version, at=now
    )
    try:
        policy = rules.policy.decide(action)
    except Exception:  # noqa: BLE001 -- a listed boundary: what broke is logged above, here it only decides how to fail
        return replace(verdict, evidence=(finding,))
    if policy.blocked:
        return replace(verdict, reason=policy.reason, evidence=(*policy.evidence, finding))
    if rules.mode is Mode.ENFORCE:
        return replace(verdict, evidence=(finding,))
    return replace(verdict, decision=Decision.ALLOW, reason=policy.reason, evidence=(finding,))
