"""The Observer of one agent: note what arrives, assess actions, conclude questions, learn what was harmless, wake to settle.

Pure: the time is given, nothing waits, and the same steps at the same times give the same verdicts. One lane: its owner calls it
from one place at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from kaizen_security.contract import canonical, reasons
from kaizen_security.contract.action import Action
from kaizen_security.contract.boundary import outward
from kaizen_security.contract.bundle import Fold
from kaizen_security.contract.compiled_correlation import Correlation
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.step import Effect, End, Request, Result, Step
from kaizen_security.contract.verdict import Decision, Verdict
from kaizen_security.observer.baseline import Baseline, Feature, destination, features, local
from kaizen_security.observer.canaries import NO_CANARIES, Canaries
from kaizen_security.observer.conduct import Conduct, Trait, trait_of
from kaizen_security.observer.contributions import score_of
from kaizen_security.observer.detection import Context, Detection, context_of
from kaizen_security.observer.facts import gather
from kaizen_security.observer.load import NOTHING_READ, Load, book, load
from kaizen_security.observer.lookup import look_up
from kaizen_security.observer.origins import UNASKED
from kaizen_security.observer.outflow import Taught
from kaizen_security.observer.peers import NOBODY, offered
from kaizen_security.observer.question import RELEASES, Answer, Question, Word, signature
from kaizen_security.observer.raising import raised
from kaizen_security.observer.ratified import called_normal, comes_again, is_ratified, marks, taken_up
from kaizen_security.observer.rules import Rules, no_rules
from kaizen_security.observer.run import Limits, Losses, Run, Runs, Waiting, waiting_of
from kaizen_security.observer.score import Scored, arguments, counted, is_call, score
from kaizen_security.observer.signals import prepare
from kaizen_security.observer.skills import skill_of
from kaizen_security.observer.weigh import TOLERANCE, Heard, Weighed, weigh

LIMITS = Limits()


class Observer:
    """Judges one agent. ``detections`` are asked in their order; ``baseline`` is what it starts from.

    ``learning`` false: the baseline stays as it is
    ``counted``  findings of candidate detections, which are counted and nothing else
    """

    __slots__ = (
        "_carried",
        "_correlation",
        "_loose",
        "_noted",
        "_now",
        "_runs",
        "_scored",
        "_shown",
        "baseline",
        "canaries",
        "counted",
        "detections",
        "learning",
        "limits",
        "losses",
        "organisation",
        "peers",
        "rules",
    )

    def __init__(
        self,
        *,
        detections: Sequence[Detection],
        baseline: Baseline | None = None,
        rules: Rules | None = None,
        limits: Limits = LIMITS,
        organisation: str = "",
        learning: bool = True,
        canaries: Canaries = NO_CANARIES,
    ) -> None:
        self.detections = tuple(detections)
        self.baseline = baseline or Baseline()
        self.rules = rules or no_rules()
        self.limits = limits
        self.losses = Losses()
        self.organisation = organisation
        self.learning = learning
        self.canaries = canaries
        self.counted: dict[str, int] = {}
        self.peers = NOBODY
        self._now = 0.0
        self._runs = Runs(limits, self.losses)
        self._loose = Run("")
        self._correlation = Correlation()
        self._noted: tuple[Action, Finding | None] | None = None
        self._scored: tuple[Action, Scored | None] | None = None
        self._carried: tuple[Action, Load] | None = None
        self._shown: tuple[Action, Trait] | None = None

    # --- note -----------------------------------------------------------------------------------------------------------

    def note(self, step: Step, now: float) -> None:
        """Take in what arrived, before anything is said of it. ``now`` in Unix seconds.

        A Result completes the action that it answers, an Effect the act that it is of, an End the whole run.
        """
        self._now = max(self._now, now)
        if isinstance(step, End):
            self._end(step)
            return
        run = self._run(step.run_id, now)
        if isinstance(step, Action):
            if len(step.delegation) > len(run.delegation):
                run.delegation = step.delegation
            if self.learning and comes_again(step, self.baseline.habits.ratified, self.rules.suppressed.key):
                self._take_up(step, signature(step), seen=signature(outward(step, self.rules.suppressed.key)))
            self._scored, self._carried = None, None
            if step.run_id:
                run.marks.reading(step)
                if step.hash and skill_of(step):
                    run.define(skill_of(step), step.hash, self.limits)
            # Always, so that a read counts that came before the policy did; whether it matters is the detection's to say.
            self._noted = (step, self._correlation.see(step))
        elif isinstance(step, Request):
            run.origins.request(step.text)
            run.marks.request(step.text)
            # While the model thinks: what the question would have to wait for.
            self.baseline.behaviour.sessions.prepare()
        elif isinstance(step, Result):
            self._brought(run, step)
            run.conduct.answered(step.action_id, step.content, failed=step.failed)
            self._completed(run, step.action_id, failed=step.failed)
            self.baseline.behaviour.add_up(run.conduct)
        elif isinstance(step, Effect):
            self._completed(run, run.by_act(step.action.act_id) or step.action.id, failed=False)

    def _brought(self, run: Run, step: Result) -> None:
        # Of a lone action nobody knows what the result will be used for; a failed one may carry an attacker's text as well.
        if step.run_id:
            tool, reached = run.calls.pop(step.action_id, ("", UNASKED))
            run.origins.result(tool, step.content, reached)
            self.losses.marks_evicted += run.marks.result(step.action_id, step.content)

    def _run(self, run_id: str, now: float) -> Run:
        return self._runs.touch(run_id, now) if run_id else self._loose

    def _completed(self, run: Run, action_id: str, *, failed: bool) -> None:
        waiting = run.waiting.pop(action_id, None)
        # A failed action is not something that the agent does: probing for credentials must not become normal.
        if waiting is not None and not failed:
            self._teach(run, waiting)

    def _teach(self, run: Run, waiting: Waiting) -> None:
        if run is self._loose:
            self._alone(waiting)
        else:
            run.complete(waiting, self.limits, self.losses)

    def _alone(self, waiting: Waiting) -> None:
        self._learn(waiting.features, waiting.taught)
        if self.learning and waiting.trait is not None:
            self.baseline.behaviour.learn(Conduct(done=[waiting.trait]), waiting.since)

    def _learn(self, unit: Iterable[Feature], *taught: Taught) -> None:
        if self.learning:
            self.baseline.learn(unit)
            if any(taught):
                self.baseline.carry(taught)

    def _end(self, step: End) -> None:
        self._correlation.end(self.organisation, step.agent, step.run_id)
        run = self._runs.end(step.run_id)
        if run is not None:
            self._settle(run, completed=step.completed)

    def _settle(self, run: Run, *, completed: bool) -> None:
        if run.flagged:
            self._count(run)
            return
        if completed:
            for waiting in run.waiting.values():
                run.complete(waiting, self.limits, self.losses)
        self._learn(run.done, *run.taught)
        if self.learning and run.deeds:
            self.baseline.habituate(run.origins.asked.stems, run.deeds, run.score, offered(self.rules.declaration))
        if self.learning and run.conduct.done:
            self.baseline.behaviour.learn(run.conduct, run.at)

    def _count(self, run: Run) -> None:
        # Of a flagged run nothing is learned but that it reached the threshold (``score.counted``): left out altogether, the
        # threshold would sink with every false flag.
        if self.learning and run.score is not None:
            self.baseline.count(run.score)

    # --- assess and conclude ----------------------------------------------------------------------------------------------

    def assess(self, action: Action, now: float) -> Verdict | Question:
        """What every detection says of the action, weighed. Teaches nothing and changes nothing.

        A Question in enforce mode, when it blocks only because of what a person may release (``weigh.TABLE``).
        """
        found = self.weighed(action, now)
        return self.question(action, found, now) if found.asks else found.verdict

    def question(self, action: Action, found: Weighed, now: float) -> Question:
        """The question that a verdict which ``asks`` leaves open."""
        expires_at = now + self.limits.hold
        return Question(
            id=action.id,
            action=action,
            floor=found.verdict,
            expires_at=expires_at,
            releasable=found.asks,
            mode=self.rules.mode,
            doubts=found.doubts,
            facts=gather(action, self.context(action)),
        )

    def weighed(self, action: Action, now: float) -> Weighed:
        """``assess``, and beside the verdict whether the action is clean enough to be learned from."""
        context = self.context(action)
        heard = [Heard(one.ABOUT, said) for one in self.detections if (said := tuple(one.detect(action, context)))]
        score = score_of(context)
        found = weigh(action, heard, self.rules, now, asking=self.limits.hold > 0, score=score)
        if found.asks and is_ratified(action, self.baseline.habits.ratified):
            found = weigh(action, heard, self.rules, now, ratified=True, score=score)
        return found

    def context(self, action: Action) -> Context:
        """What the detections may look at besides the action."""
        return context_of(
            rules=self.rules,
            baseline=self.baseline,
            looked=look_up(self.rules, self.baseline, action),
            run=self._runs.get(action.run_id) if action.run_id else None,
            correlated=self._noted[1] if self._noted is not None and self._noted[0] is action else None,
            reading=self._read(action),
            load=self._load(action),
            trait=self._trait(action),
            peers=self.peers,
            now=self._now,
            tolerance=TOLERANCE,
        )

    def _load(self, action: Action) -> Load:
        if self._carried is None or self._carried[0] is not action:
            run = self._runs.get(action.run_id) if action.run_id else None
            known = run.marks if run else NOTHING_READ
            self._carried = (action, load(action, known, self.baseline.outflow, self.canaries))
        return self._carried[1]

    def _read(self, action: Action) -> Scored | None:
        if self._scored is not None and self._scored[0] is action:
            return self._scored[1]
        run = self._runs.get(action.run_id) if action.run_id else None
        found = None
        if run is not None and is_call(action) and (run.origins.asked.words or run.origins.sources):
            call = prepare(canonical.tool(action.tool), arguments(action), local=local(action), spelled=action.tool)
            found = score(call, run.origins, self.baseline.habits)
        self._scored = (action, found)
        return found

    def _trait(self, action: Action) -> Trait:
        if self._shown is None or self._shown[0] is not action:
            self._shown = (action, trait_of(action, destination(action)))
        return self._shown[1]

    def conclude(self, question: Question, answer: Answer | None, now: float) -> Verdict:
        """The verdict on a question. No answer, or a late one: the floor stands.

        A model may only raise. A person may release what is releasable, never a policy's deny.
        """
        floor = replace(question.floor, at=now)
        if answer is None or now > question.expires_at:
            return floor
        if answer.by == "person" and answer.word in RELEASES and question.releasable:
            return replace(floor, decision=Decision.ALLOW, notes=(*floor.notes, reasons.RELEASED[answer.word.value]))
        if answer.by == "model":
            return replace(raised(question, answer), at=now)
        if answer.word is Word.BLOCK:
            return replace(floor, decision=Decision.BLOCK, notes=(*floor.notes, reasons.DENIED))
        return floor

    # --- learn and wake ---------------------------------------------------------------------------------------------------

    def learn(self, action: Action, weighed: Weighed, now: float, *, completed: bool) -> None:
        """What the verdict means for learning.

        Flagged or blocked: never learned, nor anything else of its run, unless the flag was called a false positive. Clean and
        completed: taught when its run is over, or at once when it has none. Clean and not completed: waits for its Result, its
        Effect, its run's End, or ``wake``.
        """
        for name in weighed.counted:
            self.counted[name] = self.counted.get(name, 0) + 1
        run = self._run(action.run_id, now)
        scored = self._read(action)
        if scored is not None:
            run.reached(counted(scored, called_normal=not weighed.spoils))
            if not weighed.verdict.blocked:
                run.calling(action.id, scored, self.limits)
        carried, trait = self._load(action), self._trait(action)
        if not weighed.verdict.blocked:
            book(run.marks, carried)
        if not weighed.verdict.blocked and run is not self._loose:
            run.conduct.take(trait, action.id, run.guessed(trait, self.baseline.habits.slots))
            if scored is not None:
                # Of a full table only an even sample can be told: else all would seem new once it is full.
                known = self.baseline.habits.slots
                told = list(filter(known.tells, scored.deed.slots))
                run.conduct.values += len(told)
                run.conduct.fresh += len(told) - sum(map(known.__contains__, told))
        if not weighed.clean or weighed.verdict.blocked:
            run.waiting.pop(action.id, None)
            if run is not self._loose and weighed.spoils:
                self._runs.flag(run)
            return
        waiting = waiting_of(
            features(action), action.act_id, now, None if scored is None else scored.deed, carried.taught, trait
        )
        if completed:
            run.waiting.pop(action.id, None)
            self._teach(run, waiting)
        else:
            run.wait(action.id, waiting, self.limits, self.losses)

    def distrust(self, action: Action) -> None:
        """What was let through was raised afterwards: neither it nor anything else of its run is learned from now on."""
        if action.run_id:
            self._runs.flag(self._runs.get(action.run_id) or Run(action.run_id))
        else:
            self._loose.waiting.pop(action.id, None)

    def complete(self, action: Action) -> None:
        """The action, inspected before, is reported as done: it waits no longer."""
        run = self._runs.get(action.run_id) if action.run_id else self._loose
        if run is not None:
            self._completed(run, action.id, failed=False)

    def fold(self, actions: Iterable[Action]) -> None:
        """A person says that these are normal. The only way in which something flagged is ever learned.

        What was merely doubted is not asked about again; what policy, declaration or a certain finding says stands.
        """
        for action in actions:
            self.ratify(action, signature(action))

    def catch_up(self, epoch: int, folded: Iterable[Fold]) -> bool:
        """What people did to the baseline elsewhere: an epoch that is new begins with nothing, and each fold counts once.

        False when all of it was known.
        """
        anew = epoch > self.baseline.reset_to
        if anew:
            self.baseline = Baseline(replica=self.baseline.replica, reset_to=epoch)
        fresh = [fold for fold in folded if fold.number > self.baseline.folded_to]
        for fold in sorted(fresh, key=lambda fold: fold.number):
            self.fold([fold.action])
            self.baseline.folded_to = fold.number
        return anew or bool(fresh)

    def ratify(self, action: Action, act: str) -> None:
        """``fold`` of one action of which perhaps only a part is still there; ``act`` is the signature of the whole.

        The rest is learned when the act comes again (``ratified.comes_again``).
        """
        self.baseline.learn(features(action))
        self.baseline.ratify(marks(action, act))
        self._take_up(action, act)

    def _take_up(self, action: Action, act: str, *, seen: str = "") -> None:
        # What its values are and where they came from: known only of the whole act, and while its run is.
        self.baseline.carry((self._load(action).taught,))
        run = self._runs.get(action.run_id) if action.run_id else None
        scored = self._read(action)
        if run is not None and scored is not None and signature(action) == act:
            self.baseline.habituate(run.origins.asked.stems, [scored.deed], None, offered(self.rules.declaration))
            self.baseline.ratify((taken_up(act),), instead=(called_normal(act), called_normal(seen)))

    def wake(self, now: float) -> bool:
        """Settle what needed time: lone actions that nobody called failed, runs in which nothing happens any more. Whether any was.

        It gives no verdicts: that an effect is late or missing is found where both sides are heard, by ``observer.gap``.
        """
        loose, over = self._loose.waiting, []
        while loose and now - loose[first := next(iter(loose))].since >= self.limits.settle:
            over.append(loose.pop(first))
            self._alone(over[-1])
        idle = self._runs.idle(now)
        for run in idle:
            self._settle(run, completed=True)
        return bool(over or idle)

    @property
    def runs(self) -> int:
        """Runs that are remembered."""
        return len(self._runs)
