"""The programme: from a seed, with twins, benign work between, and everything it reaches for on the map."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from kaizen_security.demo.injected import SOCKET, runs
from kaizen_security.demo.jobs import Did, Done, Work, ask, asked, tell, told
from kaizen_security.demo.plan import orders_in, resolved
from kaizen_security.demo.programme import BETWEEN, DEMO_AGENT, LEARN, programme
from kaizen_security.demo.tasks import DECLARATION
from kaizen_security.demo.tools import TOOLS
from kaizen_security.redteam.corpus import load, misses


@pytest.fixture(scope="module")
def scenarios():
    return load()


def made(seed, scenarios):
    return programme(seed, scenarios, misses())


def test_at_least_two_hundred_tasks_are_learned_from_before_the_first_attack(scenarios):
    play = made(1, scenarios)
    own = [entry for entry in play.learning if entry.agent == DEMO_AGENT]
    assert len(own) == LEARN >= 200
    assert not any(entry.attacks for entry in play.learning)


def test_benign_work_lies_between_the_attacks_and_has_the_last_word(scenarios):
    play = made(2, scenarios)
    own = [isinstance(entry.job, Work) and entry.job.task.kind != "injected" for entry in play.meeting]
    first, last = (index for index in (own.index(True), len(own) - 1))
    attacks = [number for number, entry in enumerate(play.meeting) if entry.attacks]
    assert sum(own) == BETWEEN
    assert own[last]
    assert any(first < number < last for number in attacks)


def test_every_attack_of_the_corpus_is_met_and_so_is_every_twin(scenarios):
    play = made(3, scenarios)
    keys = [attack.key for entry in play.meeting for attack in entry.attacks]
    assert len(keys) == len(set(keys)) == sum(len(one.attacks) for one in scenarios) + len(runs(3))
    jobs = {entry.job.job for entry in play.meeting}
    assert all(f"{one.id}-twin-0" in jobs for one in scenarios)
    assert all(f"{run.id}-twin" in jobs for run in runs(3))


def test_a_seed_repeats_the_programme_and_another_one_changes_it(scenarios):
    assert made(5, scenarios) == made(5, scenarios)
    order = [[entry.job.job for entry in made(seed, scenarios).meeting] for seed in (5, 6)]
    assert order[0] != order[1]
    assert sorted(order[0]) == sorted(order[1])


def test_every_host_that_anything_reaches_for_is_on_the_map(scenarios):
    play = made(4, scenarios)
    mapped = {host for host, _, _ in play.hosts}
    targets = {
        urlsplit(deed.target).hostname for one in scenarios for deed in one.deeds() if deed.effect.startswith("http")
    }
    assert targets <= mapped
    assert {run.silent for run in runs(4) if run.silent} <= mapped
    assert play.outside <= mapped
    assert not play.outside & set(DECLARATION.destinations)


def test_every_job_arrives_as_it_was_sent(scenarios):
    play = made(7, scenarios)
    for entry in (*play.learning, *play.meeting):
        assert asked(ask(entry.job)) == entry.job


def test_an_account_arrives_as_it_was_told():
    done = Done(
        job="j", did=(Did(action="a", tool="t", target="", outcome="ran"),), connections=("x",), began=1.5, ended=2.5
    )
    assert told(tell(done)) == done
    with pytest.raises(ValueError, match="account"):
        told("[]")


@pytest.mark.parametrize("run", runs(11), ids=lambda run: run.id)
def test_an_injected_run_and_its_twin_differ_in_what_one_sentence_asks_for(run):
    (bad,), (good,) = list(orders_in(run.poison)), list(orders_in(run.clean))
    assert bad != good
    assert bad.tool in TOOLS or bad.tool == SOCKET
    assert good.tool in DECLARATION.tools or good.tool == SOCKET


def test_the_agent_obeys_only_whole_instructions_for_tools_that_it_has():
    assert list(orders_in({"a": ["call mail.send with {not json", "call no.such with {}", 7, None]})) == []
    assert [order.tool for order in orders_in('x call mail.send with {"to": "y"} z')] == ["mail.send"]


def test_a_reference_is_followed_and_what_is_not_there_is_empty():
    results = [{"email": "a@b"}, "text"]
    assert resolved("$0.email", results) == "a@b"
    assert resolved("$1", results) == "text"
    assert resolved("$0.none", results) == resolved("$9", results) == resolved("$1.x", results) == ""
    assert resolved("costs $5", results) == "costs $5"
