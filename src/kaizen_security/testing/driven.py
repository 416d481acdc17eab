"""Recorded runs driven through a whole Observer, with every detection: what a user would have seen, and what would have been held.

A baseline is learned as a live one is, run by run in order, but from runs that whoever hands them over calls harmless: what was
flagged on the way is learned all the same, as when a person calls it normal.
A tested run has an Observer of its own over that baseline, which learns nothing, in enforce mode; whatever it would have stopped
goes on as recorded, since a record cannot change its course.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from time import perf_counter
from typing import Any

from kaizen_security.contract.action import Action
from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.step import End, Request, Result, Step
from kaizen_security.contract.verdict import Decision, Mode, Verdict
from kaizen_security.detections import BUILTIN
from kaizen_security.observer.baseline import Baseline
from kaizen_security.observer.facts import Facts
from kaizen_security.observer.observer import Observer
from kaizen_security.observer.rules import RulesMaker
from kaizen_security.observer.signals import prepare
from kaizen_security.testing.recorded import ATTACK, BENIGN, Run, kind_of, swaps

APART = 3600.0
"""Seconds between one run's beginning and the next one's; two between the calls of a run."""


_HARMLESS = Verdict()


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one call: the detections that found something, whether a person is asked instead, and whether it does more than read.

    ``attack`` and ``goal`` are the answer key's: it serves the attacker (None: cannot be told), and does what he wants in the end.
    ``over``     the score above the agent's threshold, in log odds; minus infinity where there is none
    ``seconds``  that the verdict took
    ``facts``    of a call that a person is asked about
    """

    found: tuple[str, ...]
    asks: bool
    writes: bool
    attack: bool | None
    goal: bool
    over: float
    seconds: float
    facts: Facts | None = None

    @property
    def flagged(self) -> bool:
        """Something was found that is no mere doubt."""
        return bool(self.found) and not self.asks


@dataclass(frozen=True, slots=True)
class Driven:
    """One run and what became of its calls, in order."""

    id: str
    agent: str
    model: str
    task: str
    injection: str
    kind: str
    useful: bool
    calls: tuple[Outcome, ...]

    def counted(self) -> Iterator[Outcome]:
        """Calls for which a flag counts: in an attacked run those, up to the goal, that do not surely serve the user."""
        last = max((place for place, one in enumerate(self.calls) if one.goal), default=len(self.calls))
        return (one for one in self.calls[: last + 1] if self.kind != ATTACK or one.attack is not False)

    @property
    def worst(self) -> float:
        """The highest score of one of them over the threshold; infinity where another detection found something."""
        sure = {"provenance", "alignment"}
        return max((inf if one.flagged and set(one.found) - sure else one.over for one in self.counted()), default=-inf)

    def named(self) -> set[str]:
        """The detections that flagged it."""
        return {name for one in self.counted() if one.flagged for name in one.found}

    @property
    def flagged(self) -> bool:
        """Whether one of them was."""
        return any(one.flagged for one in self.counted())

    @property
    def stopped(self) -> bool:
        """Whether one of them was flagged or held, at the attacker's goal or before it."""
        return any(one.found for one in self.counted())


def steps(run: Run, number: int, wording: str = "") -> Iterator[tuple[Step, Mapping[str, Any]]]:
    """The run as a client would tell it, each step with the record's own; the request first, an End last."""
    agent, name = str(run.get("agent")), str(run.get("id"))
    changes = swaps(run, wording) if wording else ()
    waiting: list[tuple[Any, str, str]] = []
    at = number * APART
    yield Request(run_id=name, agent=agent, text=str(run.get("user_task") or ""), at=at), {}
    for place, step in enumerate(run["steps"]):
        at += 1.0
        tool = str(step.get("tool") or "")
        if step["role"] == "call":
            act = f"{name}#{place}"
            waiting.append((step.get("id"), tool, act))
            arguments = step.get("args") if isinstance(step.get("args"), dict) else {}
            metadata = {"source": "trace", "arguments": arguments}
            yield Action(tool=tool, id=act, run_id=name, agent=agent, at=at, metadata=metadata), step
            continue
        content = step.get("content")
        for pattern, text in changes:
            if isinstance(content, str):
                content = pattern.sub(lambda _, text=text: text, content)  # type: ignore[misc]
        yield Result(run_id=name, agent=agent, action_id=_answers(waiting, step), content=content, at=at), step
    yield End(run_id=name, agent=agent, at=at + 1.0), {}


def _answers(waiting: list[tuple[Any, str, str]], step: Mapping[str, Any]) -> str:
    for column, wanted in ((0, step.get("id")), (1, str(step.get("tool") or ""))):
        for entry in waiting:
            if wanted and entry[column] == wanted:
                waiting.remove(entry)
                return entry[2]
    return ""


def taught(runs: Sequence[Run]) -> dict[str, Baseline]:
    """A baseline for each agent, learned live from the runs in order."""
    observers: dict[str, Observer] = {}
    for number, run in enumerate(runs):
        agent = str(run.get("agent"))
        observer = observers.get(agent)
        if observer is None:
            observer = observers[agent] = _observer(agent, Baseline(), Mode.OBSERVE, learning=True)
        for step, _ in steps(run, number):
            observer.note(step, step.at)
            if isinstance(step, Action):
                harmless = replace(observer.weighed(step, step.at), verdict=_HARMLESS, clean=True, spoils=False)
                observer.learn(step, harmless, step.at, completed=False)
    return {agent: observer.baseline for agent, observer in observers.items()}


def drive(runs: Iterable[Run], baselines: Mapping[str, Baseline], wording: str = "") -> Iterator[Driven]:
    """What becomes of each run; those of no kind are left out."""
    for run in runs:
        kind, agent, meta = kind_of(run), str(run.get("agent")), run.get("meta") or {}
        if not kind:
            continue
        baseline = baselines.get(agent) or Baseline()
        observer = _observer(agent, baseline, Mode.ENFORCE, learning=False)
        yield Driven(
            id=str(run.get("id")),
            agent=agent,
            model=str(meta.get("model")),
            task=str(meta.get("user_task_id")),
            injection=str(meta.get("injection_task_id")),
            kind=kind,
            useful=bool(meta.get("utility", meta.get("reward"))),
            calls=tuple(_outcomes(observer, run, wording)),
        )


def _outcomes(observer: Observer, run: Run, wording: str) -> Iterator[Outcome]:
    # Years after the baseline's last run, so that no rate of then weighs on now.
    for step, record in steps(run, 10_000, wording):
        started = perf_counter()
        observer.note(step, step.at)
        if not isinstance(step, Action):
            continue
        weighed = observer.weighed(step, step.at)
        seconds = perf_counter() - started
        score, attack = weighed.verdict.score, record.get("attack")
        yield Outcome(
            found=tuple(dict.fromkeys(one.detection for one in weighed.verdict.evidence)),
            asks=weighed.asks,
            writes=prepare(step.tool, step.metadata["arguments"]).writes,
            attack=attack if isinstance(attack, bool) else None,
            goal=record.get("kind") == "goal",
            over=-inf if score is None or score.threshold is None else score.value - score.threshold,
            seconds=seconds,
            facts=observer.question(step, weighed, step.at).facts if weighed.asks else None,
        )
        allowed = replace(weighed.verdict, decision=Decision.ALLOW)
        observer.learn(step, replace(weighed, verdict=allowed), step.at, completed=False)


def _observer(agent: str, baseline: Baseline, mode: Mode, *, learning: bool) -> Observer:
    rules = RulesMaker().make(Bundle(agent=agent, version=1, mode=mode))
    return Observer(detections=BUILTIN, baseline=baseline, rules=rules, learning=learning)


def folds(runs: Sequence[Run], *, seen: bool) -> Iterator[tuple[list[Run], list[Run]]]:
    """Harmless runs to learn from and runs to test, by folds: no model of the tested ones is in the others (where there are several
    models), and without ``seen`` no task either. Three folds of models, four of an agent's tasks; the same each time.
    """
    chance = random.Random(0)  # noqa: S311 - folds, repeatable
    models = sorted({_model(run) for run in runs})
    tasks = sorted({_task(run) for run in runs})
    chance.shuffle(models)
    chance.shuffle(tasks)
    model = {name: number % 3 for number, name in enumerate(models)}
    turn: Counter[str] = Counter()
    task: dict[tuple[str, str], int] = {}
    for name in tasks:
        task[name] = turn[name[0]] % 4
        turn[name[0]] += 1
    for m in range(min(3, len(models))):
        apart = [run for run in runs if kind_of(run) == BENIGN and (len(models) == 1 or model[_model(run)] != m)]
        inside = [run for run in runs if model[_model(run)] == m]
        for t in range(1 if seen else 4):
            known = [run for run in apart if seen or task[_task(run)] != t]
            # As they come in practice: not one model, one task after the other.
            chance.shuffle(known)
            yield known, [run for run in inside if seen or task[_task(run)] == t]


def _model(run: Run) -> str:
    return str((run.get("meta") or {}).get("model"))


def _task(run: Run) -> tuple[str, str]:
    return str(run.get("agent")), str((run.get("meta") or {}).get("user_task_id"))
