"""What a person calls normal in the console arrives in the form that left the tenant, and means the very act that it was."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kaizen_security.contract.action import Action
from kaizen_security.contract.boundary import boundary_key, outward
from kaizen_security.contract.bundle import Bundle, Fold
from kaizen_security.detections import BUILTIN, provenance
from kaizen_security.observer.baseline import Baseline
from kaizen_security.observer.observer import Observer
from kaizen_security.observer.question import signature
from kaizen_security.observer.ratified import comes_again, is_ratified, marks, taken_up
from kaizen_security.observer.rooms import Few
from kaizen_security.observer.rules import RulesMaker

KEY = boundary_key(b"sixteen bytes or more of a tenant")
FLAGGED = provenance.FIRES[0]


def observer(baseline=None, key=KEY):
    return Observer(
        detections=BUILTIN, rules=RulesMaker(boundary=key).make(Bundle(agent="a", version=1)), baseline=baseline
    )


def played(one, runs):
    """The verdict on the last step of the last run; the runs before it are learned."""
    verdict = None
    for n, run in enumerate(runs):
        for second, step in enumerate(run):
            now = 1000.0 * n + second
            one.note(step, now)
            if hasattr(step, "metadata"):
                weighed = one.weighed(step, now)
                one.learn(step, weighed, now, completed=False)
                verdict = weighed.verdict
        one.wake(1000.0 * n + 999.0)
    return verdict


def found(verdict):
    return {finding.detection for finding in verdict.evidence}


def again(run, name):
    """The same steps as another run."""
    return tuple(
        replace(step, run_id=name, **({"id": f"{name}-{step.id}"} if hasattr(step, "metadata") else {}))
        if not hasattr(step, "action_id")
        else replace(step, run_id=name, action_id=f"{name}-{step.action_id}")
        for step in run
    )


def flagged():
    """An observer that has flagged a payment."""
    one = observer()
    assert found(played(one, (*FLAGGED.runs, (*FLAGGED.run, FLAGGED.action)))) == {"provenance", "unasked"}
    return one


@pytest.fixture
def known():
    return flagged()


def later(one, action=FLAGGED.action, name="later"):
    return played(one, [again((*FLAGGED.run, action), name)])


def kept(one, key=KEY):
    """What is left of it after a restart: its baseline."""
    return observer(Baseline.from_json(one.baseline.to_json()), key)


def test_an_act_that_came_back_as_facts_and_hashes_means_what_it_means_beside_the_agent(known):
    beside = flagged()
    beside.fold([FLAGGED.action])
    assert known.catch_up(0, [Fold(number=1, action=outward(FLAGGED.action, KEY))])
    # That the call as a whole does not follow from the request is for certain, and stands.
    assert found(later(beside)) == found(later(known)) == {"alignment"}
    assert found(later(kept(known), name="after a restart")) == {"alignment"}


def test_it_does_so_when_the_run_was_forgotten_too(known):
    forgotten = kept(known)
    forgotten.fold([FLAGGED.action])
    assert found(later(forgotten)) == {"alignment"}


def test_its_values_are_learned_once(known):
    known.catch_up(0, [Fold(number=1, action=outward(FLAGGED.action, KEY))])
    before = known.baseline.habits.runs
    assert found(later(known)) == found(later(known, name="and again")) == {"alignment"}
    assert known.baseline.habits.runs == before + 1


def test_where_it_could_not_be_kept_that_they_were_learned_they_are_not():
    acts = (Action(tool="t", metadata={"arguments": {"n": str(n)}}) for n in range(100))
    act = next(one for one in acts if taken_up(signature(one)) > max(marks(one, signature(one))))
    known = marks(act, signature(act))
    assert comes_again(act, Few(3, known), KEY)
    assert not comes_again(act, Few(3, (*known, taken_up(signature(act)))), KEY)
    # Of a full table nobody can tell, and it would be learned again at every call.
    assert not comes_again(act, Few(2, known), KEY)


def test_under_another_tenants_key_the_same_values_are_others(known):
    elsewhere = kept(known, boundary_key(b"another tenant's sixteen bytes"))
    elsewhere.catch_up(0, [Fold(number=1, action=outward(FLAGGED.action, KEY))])
    assert found(later(elsewhere)) == {"provenance", "unasked"}


@pytest.mark.parametrize(
    "arguments", [{"recipient": "DE02100100100006820101", "amount": "48.00"}, {"recipient": "", "amount": "49.00"}]
)
def test_no_other_act_is(known, arguments):
    known.catch_up(0, [Fold(number=1, action=outward(FLAGGED.action, KEY))])
    named = FLAGGED.action.metadata["arguments"] | {name: value for name, value in arguments.items() if value}
    read, call, result = FLAGGED.run
    told = replace(result, content=f"{result.content} Or {arguments['recipient']}, {arguments['amount']}.")
    action = replace(FLAGGED.action, metadata={"source": "sdk", "arguments": named})
    assert "provenance" in found(played(known, [again((read, call, told, action), "other")]))


def test_an_act_of_which_a_part_was_left_out_is_not_recognised_by_the_rest(known):
    many = {f"note_{n}": "x" for n in range(70)}
    whole = replace(
        FLAGGED.action, metadata={"source": "sdk", "arguments": many | FLAGGED.action.metadata["arguments"]}
    )
    seen = outward(whole, KEY)
    assert seen.metadata["facts_omitted"] == 8
    assert later(known, whole, name="before").flagged
    known.catch_up(0, [Fold(number=1, action=seen)])
    assert later(known, whole).flagged


@pytest.mark.parametrize("shown", [True, False], ids=["in the console", "beside the agent"])
def test_eighty_acts_that_were_called_normal_are_known_and_their_values_are_not_learned_anew(known, shown):
    pays = [replace(FLAGGED.action, metadata=_paid(f"PT5000020123123456789{n:04}")) for n in range(80)]
    for n, act in enumerate(pays):
        known.catch_up(0, [Fold(number=n + 1, action=outward(act, KEY) if shown else act)])
        later(known, act, name=f"again {n}")
    kept = known.baseline.habits.ratified
    assert all(is_ratified(act, kept) and not comes_again(act, kept, KEY) for act in pays)


def _paid(account):
    return {"source": "sdk", "arguments": {**FLAGGED.action.metadata["arguments"], "recipient": account}}
