"""Checks that every learner and every detection has to pass, ours and those that others write."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import permutations
from math import isclose
from typing import TypeVar

from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.attacks import ATTACKS
from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.step import End, Step
from kaizen_security.observer.baseline import Baseline
from kaizen_security.observer.detection import Detection, Example
from kaizen_security.observer.learners.protocol import Learner
from kaizen_security.observer.observer import Observer
from kaizen_security.observer.rules import RulesMaker

X = TypeVar("X")


def check_learner(
    make: Callable[[str], Learner[X]],
    load: Callable[[Json, str], Learner[X]],
    values: Sequence[X],
    *,
    strangers: Sequence[X],
) -> None:
    """The laws of learners. ``make(replica)`` makes an empty one, ``load(document, replica)`` reads one back.

    ``values`` are learned; about ``strangers`` it is only asked.

    Raises AssertionError that names the law: scores in [0, 1], scoring teaches nothing, the state survives JSON, merging is
    commutative, associative and idempotent, and equal to learning in one place.
    """
    assert all(make("a").score_one(one) == 0.0 for one in strangers), "before grace the score is 0"
    learner = make("a")
    for value in values:
        before = _state(learner)
        for asked in (value, *strangers):
            assert 0.0 <= learner.score_one(asked) <= 1.0, "scores are in [0, 1]"
        assert _state(learner) == before, "scoring teaches nothing"
        learner.learn_one(value)
    again = load(json.loads(json.dumps(learner.to_json())), "a")
    assert _state(again) == _state(learner), "the state survives JSON"
    _check_merge(make, values)
    whole = make("a")
    for value in values:
        whole.learn_one(value)
    parts = _spread(make, values)
    merged = parts[0].merge(parts[1]).merge(parts[2])
    assert merged.seen == whole.seen, "merging is learning in one place"
    for asked in (*values, *strangers):
        # Sums of fractions may differ in the last bit, by the order in which they were added.
        assert isclose(merged.score_one(asked), whole.score_one(asked), abs_tol=1e-9), (
            "merging is learning in one place"
        )


def _check_merge(make: Callable[[str], Learner[X]], values: Sequence[X]) -> None:
    parts = _spread(make, values)
    results = set()
    for first, second, third in permutations(parts):
        results.add(_state(first.merge(second).merge(third)))
        results.add(_state(first.merge(second.merge(third))))
        results.add(_state(first.merge(second).merge(third).merge(second).merge(first)))
    assert len(results) == 1, "merging is commutative, associative and idempotent"


def _spread(make: Callable[[str], Learner[X]], values: Sequence[X]) -> list[Learner[X]]:
    parts = [make(name) for name in ("a", "b", "c")]
    for i, value in enumerate(values):
        parts[i % 3].learn_one(value)
    return parts


def _state(learner: Learner[X]) -> str:
    return json.dumps(learner.to_json(), sort_keys=True)


def check_detection(detection: Detection) -> None:
    """A detection's page is whole, its examples do what they say, and its findings explain themselves.

    Raises AssertionError naming the example.
    """
    about = detection.ABOUT
    assert about.name, "a detection has a name"
    assert about.title, "a detection has a title"
    assert about.says, "a detection says what it says"
    assert about.misses, "a detection says what it misses"
    assert set(about.attacks) <= set(ATTACKS), f"{about.name}: unknown attack class"
    assert detection.FIRES, f"{about.name}: no example fires"
    assert detection.SILENT, f"{about.name}: no example stays silent"
    for example in detection.FIRES:
        assert example.kinds, f"{about.name}: {example.name}: says no kinds"
        found = run_example(detection, example)
        kinds = tuple(one.kind for one in found)
        assert kinds == example.kinds, f"{about.name}: {example.name}: expected {example.kinds}, got {kinds}"
        for finding in found:
            _check_finding(detection, example, finding)
    for example in detection.SILENT:
        found = run_example(detection, example)
        assert not found, f"{about.name}: {example.name}: must stay silent, said {found}"


def _check_finding(detection: Detection, example: Example, finding: Finding) -> None:
    where = f"{detection.ABOUT.name}: {example.name}"
    assert finding.detection == detection.ABOUT.name, f"{where}: a finding names its detection"
    for part in ("kind", "source", "field", "expected", "observed", "advice"):
        assert getattr(finding, part), f"{where}: a finding states its {part}"
    assert len(finding.value) <= 512, f"{where}: a value is at most 512 characters"
    assert not finding.attack or finding.attack in ATTACKS, f"{where}: unknown attack class {finding.attack}"


def run_example(detection: Detection, example: Example) -> tuple[Finding, ...]:
    """What the detection alone says of an example, after everything before it was noted and learned."""
    bundle = Bundle(
        agent="example",
        version=1,
        policies=example.policies,
        declaration=example.declaration,
        mode=example.mode,
    )
    observer = Observer(detections=(detection,), baseline=Baseline(), rules=RulesMaker().make(bundle))
    observer.peers = example.peers
    now = _recorded(observer, example)
    for i, action in enumerate(example.before):
        now += 1
        before = replace(action, agent="example", id=f"before-{i}")
        observer.note(before, now)
        observer.learn(before, observer.weighed(before, now), now, completed=True)
    for step in example.run:
        now = _step(observer, step, now)
    last = replace(example.action, agent="example", id="example")
    observer.note(last, now + 1)
    return tuple(one for one in detection.detect(last, observer.context(last)) if isinstance(one, Finding))


def _recorded(observer: Observer, example: Example) -> float:
    """Take the runs before it, in order; each ends. Gives the time after them."""
    now = 1_000_000_000.0
    for steps in example.runs:
        for step in steps:
            now = _step(observer, step, now)
        now += 1
        observer.note(End(run_id=steps[0].run_id, agent="example"), now)
    return now


def _step(observer: Observer, step: Step, now: float) -> float:
    now += 1
    step = replace(step, agent="example")
    observer.note(step, now)
    if isinstance(step, Action):
        observer.learn(step, observer.weighed(step, now), now, completed=False)
    return now
