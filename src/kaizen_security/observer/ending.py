"""The end of a run: what it did as a whole, as one question, where anything in it speaks against it.

Each call of a run may be nothing that a rule settles, and all of them together an attack. So a run that is over is looked at once,
by whoever is asked what no rule settles: the facts of its deeds, in order, with what was found of each, a gap included.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from kaizen_security.contract import reasons
from kaizen_security.contract.action import Action
from kaizen_security.contract.depth import Rung
from kaizen_security.contract.verdict import Decision, Mode, Verdict
from kaizen_security.observer.facts import NO_FACTS, Done, Facts
from kaizen_security.observer.question import Question

KIND = "run"
"""Kind of the action that a question about a whole run is about."""
SETTLE = 3.0
"""Seconds after the end of a run in which what belongs to it still comes: effects, gaps."""
ANSWERED = 600.0
"""Seconds for which an answer is of use."""
_SOURCES = {Rung.COOPERATIVE: "sdk", Rung.CHOKEPOINT: "mcp", Rung.EGRESS: "egress", Rung.KERNEL: "ebpf"}

Key = tuple[str, str, str]
"""Organisation, agent, run."""


@dataclass(slots=True)
class _Ending:
    done: list[Done] = field(default_factory=list)
    undone: int = 0
    facts: Facts = NO_FACTS
    due: float = float("inf")


class Endings:
    """What the runs that are under way did. Bounded: ``runs`` at once, ``most`` deeds of each; what did not speak goes first.

    No clock, no input or output; not for several threads.
    """

    def __init__(self, runs: int = 256, most: int = 48) -> None:
        self._runs: OrderedDict[Key, _Ending] = OrderedDict()
        self._limit = runs
        self._most = most
        self.forgotten = 0

    def judged(self, question: Question) -> None:
        """An action of a run was judged: ``question`` is what would be asked about it."""
        action, facts = question.action, question.facts
        if not action.run_id:
            return
        ending = self._ending(action)
        ending.facts = replace(facts, values=(), omitted=0, asked=None, told=None, told_by="", probability=None, new=())
        self._keep(
            ending,
            Done(
                kind=action.kind,
                tool=action.tool,
                target=action.target,
                rung=action.rung,
                effects=facts.effects,
                unasked=tuple(one for one in facts.effects if one not in facts.wanted) if facts.traced else (),
                new=facts.new,
                strange=any(one.strange for one in facts.values),
                findings=(*question.floor.evidence, *question.doubts),
                blocked=question.floor.blocked,
            ),
        )

    def heard(self, action: Action, verdict: Verdict) -> None:
        """What was found elsewhere of a run: a gap."""
        if action.run_id and (action.organisation, action.agent, action.run_id) in self._runs:
            found = Done(
                kind=action.kind,
                tool=action.tool,
                target=action.target,
                rung=action.rung,
                findings=verdict.evidence,
                blocked=verdict.blocked,
            )
            self._keep(self._ending(action), found)

    def ended(self, key: Key, now: float) -> None:
        """That run is over."""
        ending = self._runs.get(key)
        if ending is not None:
            ending.due = min(ending.due, now + SETTLE)

    def due(self, now: float) -> Iterator[Question]:
        """The questions about runs that are over for long enough, each once; none about one that nothing speaks against."""
        for key in [key for key, ending in self._runs.items() if ending.due <= now]:
            ending = self._runs.pop(key)
            if any(one.speaks for one in ending.done):
                yield _question(key, ending, now)

    def _ending(self, action: Action) -> _Ending:
        key = (action.organisation, action.agent, action.run_id)
        ending = self._runs.get(key)
        if ending is None:
            ending = self._runs[key] = _Ending()
            if len(self._runs) > self._limit:
                self._runs.popitem(last=False)
                self.forgotten += 1
        self._runs.move_to_end(key)
        return ending

    def _keep(self, ending: _Ending, done: Done) -> None:
        ending.done.append(done)
        if len(ending.done) > self._most:
            ending.undone += 1
            # Whoever floods a run with harmless calls does not push out what speaks against it.
            del ending.done[next((i for i, one in enumerate(ending.done) if not one.speaks), 0)]


def _question(key: Key, ending: _Ending, now: float) -> Question:
    organisation, agent, run_id = key
    # As sure as the least certain of those who saw what speaks against it.
    rung = min(one.rung for one in ending.done if one.speaks)
    action = Action(
        KIND,
        metadata={"source": _SOURCES[rung]},
        id=f"run-{run_id}"[:256],
        run_id=run_id,
        agent=agent,
        organisation=organisation,
        at=now,
    )
    return Question(
        id=action.id,
        action=action,
        floor=Verdict(decision=Decision.ALLOW, reason=reasons.OK, action_id=action.id, at=now),
        expires_at=now + ANSWERED,
        # It is over: there is nothing left to block.
        mode=Mode.OBSERVE,
        facts=replace(ending.facts, done=tuple(ending.done), undone=ending.undone),
    )
