"""Every verdict on a call that was scored says what the score is made of and where the call's values came from."""

from __future__ import annotations

import pytest

from kaizen_security.contract.score import MAX_VALUES
from kaizen_security.contract.step import Request, Result
from kaizen_security.detections import BUILTIN, provenance
from kaizen_security.observer.facts import gather
from kaizen_security.observer.observer import Observer


def judged(example):
    """The verdict on an example of the detection, after all that comes before it."""
    observer = Observer(detections=BUILTIN)
    at = 0.0
    for n, run in enumerate((*example.runs, (*example.run, example.action))):
        for step in run:
            at += 1.0
            observer.note(step, at)
            if not isinstance(step, Request | Result):
                found = observer.weighed(step, at)
                observer.learn(step, found, at, completed=False)
        if n < len(example.runs):
            observer.wake(at + 1000.0)
            at += 1000.0
    return found.verdict


def test_a_flagged_call_is_taken_apart_into_signals_that_add_up_to_its_score():
    verdict = judged(provenance.FIRES[0])
    score = verdict.score
    assert verdict.flagged
    assert score.value > score.threshold
    assert score.bias + sum(one.points for one in score.parts) == pytest.approx(score.value)
    assert [one.points for one in score.parts] == sorted((one.points for one in score.parts), reverse=True)
    assert sum(map(score.share, score.parts)) == pytest.approx(1.0)
    assert score.steered


def test_it_says_where_each_value_came_from_and_not_what_it_is():
    came = {one.field: one for one in judged(provenance.FIRES[0]).score.came}
    assert (came["recipient"].kind, came["recipient"].origin) == ("account", "text")
    assert (came["recipient"].tool, came["recipient"].path) == ("read_bill", ".*")
    assert "PT50000201231234567890154" not in repr(came)
    asked = judged(provenance.SILENT[0]).score
    assert asked.value < asked.threshold
    assert not judged(provenance.SILENT[0]).flagged


def test_a_call_far_from_any_finding_carries_its_score_and_nothing_else():
    score = judged(provenance.SILENT[1]).score
    if score.value < score.threshold - 2.0:
        assert score.parts == score.came == ()
    young = judged(provenance.SILENT[2])
    assert young.score.threshold is None
    assert young.score.parts == ()


@pytest.mark.parametrize("example", [*provenance.FIRES, *provenance.SILENT], ids=lambda example: example.name)
def test_it_says_of_the_values_what_somebody_who_is_asked_would_be_shown(example):
    observer, at = Observer(detections=BUILTIN), 0.0
    for step in (one for run in (*example.runs, example.run) for one in run):
        at += 1.0
        observer.note(step, at)
        if not isinstance(step, Request | Result):
            observer.learn(step, observer.weighed(step, at), at, completed=False)
    observer.note(example.action, at)
    score = observer.weighed(example.action, at).verdict.score
    facts = gather(example.action, observer.context(example.action))
    told = [(one.path, one.kind.value) for one in facts.values[:MAX_VALUES]]
    assert not score.parts or [(one.field, one.kind) for one in score.came] == told
    assert not score.parts or (score.wanted, score.effects) == (facts.wanted, facts.effects)
