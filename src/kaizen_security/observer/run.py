"""Run: what is remembered of one execution while it lasts. Bounded in number and in size; what had to go is counted.

No text of a run is kept. What is kept is where its values came from (as hashes), which actions wait for their completion, what the
completed ones would teach, whether anything was flagged, and who handed the work down.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from kaizen_security.contract.canonical_values import builder
from kaizen_security.observer.baseline import Feature
from kaizen_security.observer.conduct import Conduct, Trait
from kaizen_security.observer.habits import Deed
from kaizen_security.observer.marks import Marks
from kaizen_security.observer.origins import Origins, Reached
from kaizen_security.observer.outflow import NOTHING_TAUGHT, Taught
from kaizen_security.observer.rooms import Few
from kaizen_security.observer.score import Scored


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds for one agent. Times in seconds.

    ``runs``       runs remembered at once; the one touched longest ago goes first, unlearned
    ``waiting``    actions of one run, or without one, that wait for their completion
    ``features``   distinct values that one run can teach
    ``deeds``      calls whose values one run can teach
    ``flagged``    ids of flagged runs that are remembered after the run itself is forgotten
    ``settle``     a lone action (no run) that nobody called failed counts as completed after this long
    ``idle``       a run in which nothing happened for this long counts as over
    ``hold``       an action that a person is asked about waits this long for the answer; 0: nobody is asked
    """

    runs: int = 128
    waiting: int = 64
    features: int = 64
    deeds: int = 128
    flagged: int = 1024
    settle: float = 5.0
    idle: float = 300.0
    hold: float = 300.0


@dataclass(slots=True, kw_only=True)
class Losses:
    """What bounds cost, by reason. Shown by ``GET /healthz`` and ``/metrics``."""

    runs_evicted: int = 0
    waiting_evicted: int = 0
    features_dropped: int = 0
    flagged_forgotten: int = 0
    marks_evicted: int = 0

    def to_json(self) -> dict[str, int]:
        """Reason to number."""
        return {
            "runs_evicted": self.runs_evicted,
            "waiting_evicted": self.waiting_evicted,
            "features_dropped": self.features_dropped,
            "flagged_forgotten": self.flagged_forgotten,
            "marks_evicted": self.marks_evicted,
        }


@dataclass(frozen=True, slots=True)
class Waiting:
    """An allowed, unflagged action whose completion nobody has seen yet. ``since`` in Unix seconds."""

    features: tuple[Feature, ...]
    act_id: str
    since: float
    deed: Deed | None = None
    taught: Taught = NOTHING_TAUGHT
    trait: Trait | None = None


waiting_of = builder(Waiting)


@dataclass(slots=True)
class Run:
    """One execution of the agent. ``delegation`` is the longest chain that any of its actions carried.

    ``origins``  where the values in it came from
    ``calls``    tool of each call that waits for its result, and how it came to read what it reads
    ``deeds``    what its completed calls will teach, if nothing in it gets flagged
    ``marks``    fingerprints of what it has read; ``taught``: what it carried where
    ``conduct``  what its allowed actions add up to
    ``defined``  hash of the definition of each tool that was loaded or called, the last one
    ``score``    the highest that any of its calls counts as (``score.counted``), in log odds; None before the first that counts
    """

    id: str
    at: float = 0.0
    steps: int = 0
    flagged: bool = False
    delegation: tuple[str, ...] = ()
    waiting: OrderedDict[str, Waiting] = field(default_factory=OrderedDict)
    done: set[Feature] = field(default_factory=set)
    origins: Origins = field(default_factory=Origins)
    calls: OrderedDict[str, tuple[str, Reached]] = field(default_factory=OrderedDict)
    deeds: list[Deed] = field(default_factory=list)
    conduct: Conduct = field(default_factory=Conduct)
    score: float | None = None
    marks: Marks = field(default_factory=Marks)
    taught: list[Taught] = field(default_factory=list)
    defined: dict[str, str] = field(default_factory=dict)

    def define(self, skill: str, mark: str, limits: Limits) -> None:
        """A tool was loaded or called with this definition."""
        if skill in self.defined or len(self.defined) < limits.features:
            self.defined[skill] = mark

    def touch(self, at: float) -> None:
        """Something of the run arrived."""
        self.at = max(self.at, at)
        self.steps += 1

    def reached(self, score: float | None) -> None:
        """A call of it was scored, and counts as this much (``score.counted``)."""
        if score is not None:
            self.score = score if self.score is None else max(self.score, score)

    def wait(self, action_id: str, waiting: Waiting, limits: Limits, losses: Losses) -> None:
        """Remember an action until it completes."""
        self.waiting[action_id] = waiting
        if len(self.waiting) > limits.waiting:
            self.waiting.popitem(last=False)
            losses.waiting_evicted += 1

    def guessed(self, trait: Trait, known: Few) -> frozenset[int]:
        """What a log-in tries that stands neither in the request nor in what was read, and that is not ``known`` to be used."""
        return frozenset(
            one.value
            for one in trait.tried
            if one.value not in known
            and hash(one.text) not in self.origins.asked.words
            and not self.origins.stands(one.text)
        )

    def calling(self, action_id: str, scored: Scored, limits: Limits) -> None:
        """A call is about to run: its result will be known by its id."""
        self.calls[action_id] = (scored.tool, scored.reached)
        self.origins.called(scored.made)
        if len(self.calls) > limits.waiting:
            self.calls.popitem(last=False)

    def complete(self, waiting: Waiting, limits: Limits, losses: Losses) -> None:
        """An action has completed: this is what the run will teach, if nothing in it gets flagged."""
        if waiting.trait is not None:
            self.conduct.completed(waiting.trait)
        if waiting.deed is not None:
            if len(self.deeds) < limits.deeds:
                self.deeds.append(waiting.deed)
            else:
                losses.features_dropped += 1
        if waiting.taught:
            if len(self.taught) < limits.deeds:
                self.taught.append(waiting.taught)
            else:
                losses.features_dropped += 1
        for feature in waiting.features:
            if feature in self.done:
                continue
            if len(self.done) >= limits.features:
                losses.features_dropped += 1
            else:
                self.done.add(feature)

    def by_act(self, act_id: str) -> str:
        """The id of the waiting action with that ``act_id``, ``""`` when there is none."""
        return next((key for key, one in self.waiting.items() if act_id and one.act_id == act_id), "")


class Runs:
    """The runs of one agent, the latest touched last."""

    __slots__ = ("_flagged", "_limits", "_losses", "_runs")

    def __init__(self, limits: Limits, losses: Losses) -> None:
        self._limits = limits
        self._losses = losses
        self._runs: OrderedDict[str, Run] = OrderedDict()
        self._flagged: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs.values())

    def get(self, run_id: str) -> Run | None:
        """The run, if it is remembered."""
        return self._runs.get(run_id)

    def touch(self, run_id: str, at: float) -> Run:
        """The run, made when it is new, as the latest touched. May evict the one touched longest ago."""
        run = self._runs.get(run_id)
        if run is None:
            run = self._runs[run_id] = Run(run_id, flagged=run_id in self._flagged)
            if len(self._runs) > self._limits.runs:
                self._runs.popitem(last=False)
                self._losses.runs_evicted += 1
        else:
            self._runs.move_to_end(run_id)
        run.touch(at)
        return run

    def flag(self, run: Run) -> None:
        """Something in the run was flagged: nothing of it is learned, also when its id comes again after its end."""
        run.flagged = True
        run.waiting.clear()
        run.done.clear()
        run.deeds.clear()
        run.taught.clear()
        run.conduct.forget()
        self._flagged[run.id] = None
        self._flagged.move_to_end(run.id)
        if len(self._flagged) > self._limits.flagged:
            self._flagged.popitem(last=False)
            self._losses.flagged_forgotten += 1

    def end(self, run_id: str) -> Run | None:
        """Take the run out."""
        return self._runs.pop(run_id, None)

    def idle(self, now: float) -> tuple[Run, ...]:
        """Take out the runs in which nothing happened for ``limits.idle`` seconds."""
        late = []
        for run in self._runs.values():
            if now - run.at < self._limits.idle:
                break
            late.append(run)
        for run in late:
            del self._runs[run.id]
        return tuple(late)
