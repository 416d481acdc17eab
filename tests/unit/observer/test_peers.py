"""Peers: what a role is, what is compared, and how sure one can be."""

from __future__ import annotations

import pytest

from kaizen_security.contract import canonical
from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.declaration import Declaration
from kaizen_security.observer.baseline import Baseline, Feature
from kaizen_security.observer.conduct import Conduct, Trait
from kaizen_security.observer.entities import fingerprint
from kaizen_security.observer.observer import Observer
from kaizen_security.observer.peers import Habit, Peers, habit, offered, role, share, tail
from kaizen_security.observer.rules import RulesMaker

DECLARED = Declaration(tools=("grant_case", "read_case"), purpose="Reviews cases.")


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (("worker-1", DECLARED), ("somebody", DECLARED), True),
        (("worker-1", DECLARED), ("worker-2", Declaration(tools=("grant_case",))), False),
        (("worker-1", Declaration()), ("worker-22", Declaration()), True),
        (("worker 1", Declaration()), ("clerk 1", Declaration()), False),
    ],
)
def test_a_role_is_what_is_declared_alike_or_a_name_but_for_its_number(one, other, alike):
    assert (role(*one) == role(*other)) is alike


@pytest.mark.parametrize("agent", ["clerk", "7", ""])
def test_an_agent_alone_has_no_role(agent):
    assert role(agent, Declaration()) == ""


def test_only_calls_that_change_something_are_compared():
    baseline = Baseline()
    for tool, times in (("grant_case", 3), ("read_case", 9)):
        baseline.learn([Feature("told", "tool", tool)])
        for _ in range(5):
            trait = Trait(fingerprint(tool), 0, 0, (), 0)
            baseline.behaviour.learn(Conduct(done=[trait] * times), 0.0)
    writes = habit(baseline).writes
    assert set(writes) == {fingerprint("grant_case")}
    assert writes[fingerprint("grant_case")] == pytest.approx(15, rel=0.01)


def test_a_share_is_said_only_of_a_group_that_has_done_enough():
    one = Habit(runs=9, writes={1: 10.0, 2: 1.0})
    assert Peers.of([one]).share(2) is None
    assert Peers.of([one, Habit()]).share(2) is None
    assert Peers.of([one, one]).share(2) == pytest.approx(2.5 / 23)
    assert share(Habit(runs=9, writes={1: 3.0}), 1) is None


def test_what_was_not_done_with_a_tool_counts_from_when_it_was_declared():
    before, after = Declaration(tools=("mend_file",)), Declaration(tools=("mend_file", "run_linter", "read_file"))
    agents = [Observer(detections=()) for _ in range(3)]
    linter = fingerprint(canonical.permitted("run_linter"))

    def work(declaration, runs):
        for observer in agents:
            observer.rules = RulesMaker().make(Bundle(agent="a", version=1, declaration=declaration))
            for _ in range(runs):
                observer.baseline.learn([Feature("told", "tool", "mend_file")])
                observer.baseline.behaviour.learn(Conduct(done=[Trait(fingerprint("mend_file"), 0, 0, (), 0)]), 0.0)
                observer.baseline.habituate((), (), None, offered(declaration))
        return Peers.of(habit(one.baseline, declaration) for one in agents[1:]).share(linter)

    assert work(before, 200) == pytest.approx(0.5 / 401, rel=0.05)
    assert work(after, 5) is None
    assert work(after, 15) == pytest.approx(0.5 / 41, rel=0.05)


def test_only_tools_that_change_something_are_offered():
    assert offered(Declaration(tools=("run_linter", "read_file", "Run_Linter"))) == (fingerprint("run_linter"),)


def test_the_tail_is_that_of_independent_calls():
    assert tail(0, 5, 0.2) == 1.0
    assert tail(3, 3, 0.2) == pytest.approx(0.008)
    assert tail(1, 2, 0.5) == pytest.approx(0.75)
    assert 0.0 <= tail(500, 500, 0.1) < 1e-20


@pytest.mark.parametrize(
    ("agent", "stem"),
    [
        ("worker-12", "worker"),
        ("worker12", "worker"),
        ("a1-2", "a1"),
        ("a-", ""),
        ("12", ""),
        ("#7", ""),
        ("1-2 3x", ""),
    ],
)
def test_what_is_left_of_a_name_without_the_number_at_its_end(agent, stem):
    assert role(agent, Declaration()) == (f"named {stem}" if stem else "")
