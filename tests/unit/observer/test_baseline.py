"""The baseline: what an action teaches, the two sides, the bound, the poisoning budget."""

from __future__ import annotations

import gc
import json
import os
import random
import sys
from dataclasses import replace

import pytest

from kaizen_security.contract.action import Action
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.observer.baseline import ROOM, Baseline, Feature, features
from kaizen_security.observer.conduct import Conduct, Figure, Trait
from kaizen_security.observer.habits import Deed
from kaizen_security.observer.outflow import Taught
from kaizen_security.observer.skills import skill_of


def values(action):
    return {feature.dimension: feature.value for feature in features(action)}


def test_an_action_teaches_its_kind_tool_source_and_destination_in_canonical_form():
    action = Action(tool=" Search ", target="https://API.Example.:443/v1?key=secret", metadata={"source": "langchain"})
    assert values(action) == {
        "kind": "tool_call",
        "tool": "search",
        "source": "langchain",
        "destination": "api.example",
    }


def test_a_path_is_no_destination():
    assert "destination" not in values(Action(kind="file", target="/etc/passwd"))


@pytest.mark.parametrize("spelling", ["0x7f000001", "127.1", "2130706433", "[::ffff:127.0.0.1]"])
def test_every_spelling_of_an_address_is_never_a_new_plain_name(spelling):
    known = values(Action(kind="connect", target="127.0.0.1:443"))["destination"]
    assert values(Action(kind="connect", target=f"{spelling}:443"))["destination"].split("|")[0] == known


def test_a_text_that_another_client_reads_as_another_host_is_not_the_known_host():
    plain = values(Action(kind="http", target="https://api.example/"))["destination"]
    twofold = values(Action(kind="http", target="https://api.example\\@attacker.example/"))["destination"]
    assert twofold != plain


def test_what_the_agent_says_does_not_teach_what_ground_truth_expects():
    baseline = Baseline()
    told = Action(kind="connect", target="api.example:443")
    seen = Action(kind="connect", target="api.example:443", metadata={"source": "egress"})
    baseline.learn(features(told))
    assert all(baseline.knows(feature) for feature in features(told))
    assert not any(baseline.knows(feature) for feature in features(seen))


def test_a_run_teaches_each_value_once_however_often_it_came():
    baseline = Baseline()
    baseline.learn(list(features(Action(tool="search"))) * 50)
    assert baseline.learner("told", "tool").seen == 1


def test_a_baseline_survives_json():
    baseline = Baseline(replica="a")
    for n in range(50):
        baseline.learn(features(Action(tool=f"t{n % 7}", target=f"h{n % 5}.example:443")))
    document = json.loads(json.dumps(baseline.to_json()))
    assert Baseline.from_json(document, replica="a").to_json() == baseline.to_json()


@pytest.mark.parametrize("document", [None, {}, {"format": 3}, {"format": 1, "learners": {"told.tool": {"base": 3}}}])
def test_a_broken_baseline_is_refused(document):
    with pytest.raises(InvalidInput, match="baseline"):
        Baseline.from_json(document)


def memory(thing):
    """Bytes of everything that is reachable from ``thing`` and belongs to it alone."""
    seen, todo, total = set(), [thing], 0
    while todo:
        one = todo.pop()
        if id(one) in seen or isinstance(one, type) or (isinstance(one, int) and -6 < one < 257):
            continue
        seen.add(id(one))
        total += sys.getsizeof(one)
        todo += [other for other in gc.get_referents(one) if not isinstance(other, type)]
    return total


ACTIONS = 1_000_000 if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else 20_000
"""Full is full: every room is so after some ten thousand."""


def hostile_name(n):
    return f"{n:05}" + '\x01"\\é漢' * 60


def hostile_conduct(chance):
    conduct = Conduct()
    for _ in range(4):
        figures = tuple(Figure(hostile_name(i), 10 ** chance.uniform(-3, 20), "1") for i in range(8))
        trait = Trait(chance.getrandbits(64), chance.getrandbits(64), chance.getrandbits(40), figures, 50)
        conduct.take(trait)
        conduct.completed(trait)
    return conduct


@pytest.mark.slow
def test_hostile_actions_leave_at_most_64_kilobytes_however_many():
    baseline = Baseline()
    unit = [tuple(Feature(side, dimension, hostile_name(n)) for side, dimension in ROOM) for n in range(5000)]
    for n in range(ACTIONS):
        baseline.learn(unit[n % 5000])
    assert baseline.forgotten > 100_000
    for n in range(400):
        baseline.skills.learn(hostile_name(n), str(n))
    chance = random.Random(7)
    for n in range(2_000):
        deeds = [
            Deed(
                tool=hostile_name(n % 5000 + i),
                slots=tuple(chance.getrandbits(64) for _ in range(64)),
                values=tuple(chance.getrandbits(64) for _ in range(64)),
                flows=tuple(chance.getrandbits(64) for _ in range(8)),
                words=tuple(chance.getrandbits(64) for _ in range(64)),
                fields=tuple(chance.getrandbits(64) for _ in range(64)),
            )
            for i in range(2)
        ]
        offered = [chance.getrandbits(64) for _ in range(4)]
        baseline.habituate([f"word{n}{i}" for i in range(32)], deeds, float(n), offered)
        baseline.ratify((chance.getrandbits(64),))
        baseline.carry(
            [
                Taught(
                    flows=tuple(chance.getrandbits(64) for _ in range(8)),
                    pairs=tuple(chance.getrandbits(64) for _ in range(8)),
                    secrets=tuple(chance.getrandbits(64) for _ in range(8)),
                    tenants=tuple((hostile_name(i), chance.getrandbits(64)) for i in range(8)),
                )
            ]
        )
        baseline.behaviour.learn(hostile_conduct(chance), 1e9 + n * 600.0)
        if n % 100 == 99:  # windows fill and empty: one look may come when little is held
            baseline.habits.scores.exceeded_by(0.01)
            assert memory(baseline) <= 64 * 1024
            assert len(json.dumps(baseline.to_json(), ensure_ascii=False).encode()) <= 64 * 1024


def test_a_baseline_of_the_first_format_is_still_read():
    old = Baseline()
    old.learn(features(Action(tool="search")))
    document = {**old.to_json(), "format": 1, "habits": {"runs": 3, "slots": "00" * 8}}
    read = Baseline.from_json(document)
    assert read.knows(Feature("told", "tool", "search"))
    assert read.habits.runs == 0


def test_the_poisoning_budget_is_one_while_a_dimension_abstains_and_none_once_it_speaks():
    baseline = Baseline()
    young = baseline.poisoning_budget(0.01)["told.tool"]
    assert young["actions"] == 1
    assert young["until"] == 99
    for n in range(99):
        baseline.learn(features(Action(tool=f"t{n % 3}")))
    grown = baseline.poisoning_budget(0.01)["told.tool"]
    assert grown == {"actions": None, "until": 0, "unseen": 0.01, "excused": 1}


def test_the_budget_says_how_many_observations_are_missing():
    baseline = Baseline()
    for n in range(150):
        baseline.learn(features(Action(tool=f"t{n % 3}" if n < 147 else f"once{n}")))
    until = baseline.poisoning_budget(0.01)["told.tool"]["until"]
    for _ in range(until - 1):
        baseline.learn(features(Action(tool="t0")))
    assert baseline.poisoning_budget(0.01)["told.tool"]["actions"] == 1
    baseline.learn(features(Action(tool="t0")))
    assert baseline.poisoning_budget(0.01)["told.tool"]["actions"] is None


def test_the_profile_shows_what_was_learned_most_often_first():
    baseline = Baseline()
    for tool in ["a", "b", "b"]:
        baseline.learn(features(Action(tool=tool)))
    assert baseline.profile()["tool"] == [{"value": "b", "count": 2}, {"value": "a", "count": 1}]


def test_definitions_of_tools_are_no_habits_and_join_and_survive_the_document():
    load = Action(kind="skill_load", tool="forecast", publisher="weather", hash="aa")
    ours, theirs = Baseline(replica="a"), Baseline(replica="b")
    ours.learn(features(load))
    theirs.learn(features(replace(load, hash="bb")))
    skill = skill_of(load)
    assert (ours.skills.changed(skill, "aa"), ours.skills.changed(skill, "bb")) == (False, True)
    merged = ours.merge(theirs)
    assert not merged.skills.changed(skill, "aa")
    assert not merged.skills.changed(skill, "bb")
    again = Baseline.from_json(json.loads(json.dumps(merged.to_json())))
    assert again.skills.changed(skill, "cc")
    assert all(again.knows(feature) for feature in features(replace(load, hash="cc")))
    with pytest.raises(InvalidInput, match="skills"):
        Baseline.from_json({"format": 2, "learners": {}, "skills": {"tools": ""}})
