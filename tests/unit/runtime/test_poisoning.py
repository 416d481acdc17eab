"""The poisoning budget, measured: somebody tries each way into a baseline, and it takes what the budget says."""

from __future__ import annotations

import itertools

import pytest

from kaizen_security.contract.action import Action
from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.step import End, Request
from kaizen_security.observer.learners.size import Amount
from kaizen_security.runtime.agents import AgentKey
from kaizen_security.runtime.inspector import Inspector

NOUNS = ("invoice", "customer", "folder", "message", "contract", "ticket", "calendar", "backup")
HOME = "https://api.example/v1"


class Attacker:
    """Has an agent with a grown baseline do what it likes, each in a run of its own."""

    def __init__(self, grown=150):
        self.inspector = Inspector(clock=lambda: 1_000_000_000.0)
        self.numbers = itertools.count()
        for _ in range(grown):
            self.does(tool="search", target=HOME)

    def does(self, request="", **action):
        run = f"r{next(self.numbers)}"
        if request:
            self.inspector.note(Request(run_id=run, agent="a", text=request))
        verdict = self.inspector.inspect(Action(agent="a", run_id=run, id=run, **action))
        self.inspector.note(End(run_id=run, agent="a"))
        return verdict.flagged

    def declares(self, *destinations):
        bundle = Bundle(agent="a", version=1, declaration=Declaration(destinations=destinations))
        self.inspector.configure("a", bundle)

    def budget(self, dimension):
        return self.inspector.profile("a")["poisoning_budget"][dimension]

    def knows(self, dimension, value):
        return value in [row["value"] for row in self.inspector.profile("a")["learned"][dimension]]


@pytest.mark.parametrize("times", [1, 60])
@pytest.mark.parametrize(
    ("dimension", "value", "action"),
    [
        ("tool", "wire_money", {"tool": "wire_money"}),
        ("destination", "evil.example", {"tool": "search", "target": "https://evil.example/"}),
        ("kind", "exec", {"kind": "exec", "target": "ls"}),
    ],
)
def test_where_the_budget_says_never_repeating_it_teaches_nothing(dimension, value, action, times):
    attacker = Attacker()
    assert attacker.budget(f"told.{dimension}")["actions"] is None
    assert all(attacker.does(**action) for _ in range(times))
    assert not attacker.knows(dimension, value)


def test_while_it_abstains_one_action_teaches_one_value():
    attacker = Attacker(grown=50)
    assert attacker.budget("told.tool")["actions"] == 1
    assert not attacker.does(tool="wire_money")
    assert attacker.knows("tool", "wire_money")


def asked_for(attacker, number):
    noun = NOUNS[number]
    return attacker.does(request=f"Please delete the {noun}.", tool=f"delete_{noun}", metadata={"arguments": {}})


def declared(attacker, number):
    return attacker.does(tool="search", target=f"https://h{number}.evil.example/")


@pytest.mark.parametrize(("grown", "least"), [(150, 1), (400, 4)])
@pytest.mark.parametrize(("dimension", "excused"), [("tool", asked_for), ("destination", declared)])
def test_what_is_excused_is_learned_and_so_many_make_it_abstain(dimension, excused, grown, least):
    attacker = Attacker(grown)
    if excused is declared:
        attacker.declares("api.example", "*.evil.example")
    told = attacker.budget(f"told.{dimension}")["excused"]
    assert told >= least
    for number in range(told):
        assert attacker.budget(f"told.{dimension}")["actions"] is None, "it abstains before the budget says so"
        assert not excused(attacker, number)
    assert attacker.budget(f"told.{dimension}")["actions"] == 1
    attacker.declares()
    assert not attacker.does(
        tool="new_tool" if dimension == "tool" else "search",
        target="https://never-seen.example/" if dimension == "destination" else HOME,
    )


def test_doubling_is_of_the_easiest_of_all_kinds_of_numbers():
    size = Inspector().agents.lane(AgentKey("", "a")).observer.baseline.behaviour
    for kind in range(24):
        for number in range(40 if kind != 23 else 13):
            size.size.learn_one(Amount(1000 + kind, 100.0 + number % 7))
    told = size.poisoning(0.01)
    assert (told["known"], told["doubling"]) == (24, size.size.poisoning(1023, 0.01))
    assert told["doubling"] < size.size.poisoning(1000, 0.01)
