"""Calls and effects of one deed become one act; what nothing explains is said, and nothing is guessed."""

from __future__ import annotations

import pytest

from kaizen_security.contract.action import Action
from kaizen_security.contract.step import End, Result
from kaizen_security.runtime.joining import ELSEWHERE, NO_CALL, Joiner


@pytest.fixture
def joiner() -> Joiner:
    return Joiner(lambda: 1000.0)


def call(name: str, target: str, at: float = 1000.0, run: str = "run-1") -> Action:
    return Action(tool="fetch", target=target, id=name, run_id=run, at=at, agent="a", metadata={"source": "langchain"})


def seen(name: str, target: str, at: float, source: str = "ebpf") -> Action:
    return Action(kind="connect", target=target, id=name, at=at, agent="a", metadata={"source": source})


def test_an_effect_gets_the_act_and_the_run_of_the_call_that_names_its_host(joiner: Joiner):
    joiner.note(call("c1", "https://api.example/v1"))
    found = joiner.see(seen("k1", "api.example:443", 1000.3))
    assert (found.action.act_id, found.action.run_id, found.note) == ("c1", "run-1", "")
    assert found.action.seen_by == ("langchain", "ebpf")
    assert found.action.id == "k1"


def test_proxy_and_kernel_of_one_connection_are_one_act(joiner: Joiner):
    joiner.note(call("c1", "api.example"))
    first = joiner.see(seen("p1", "api.example:443", 1000.2, "egress")).action
    second = joiner.see(seen("k1", "api.example:443", 1000.3)).action
    assert first.act_id == second.act_id == "c1"
    assert joiner.counts == {"joined": 1, "one connection, seen twice": 1}


def test_an_effect_elsewhere_and_one_without_a_call_are_said(joiner: Joiner):
    joiner.note(call("c1", "api.example"))
    assert joiner.see(seen("k1", "attacker.example:443", 1000.3)).note == ELSEWHERE
    joiner.note(Result(run_id="run-1", action_id="c1", agent="a", at=1001.0))
    late = joiner.see(seen("k2", "attacker.example:443", 1050.0))
    assert (late.note, late.action.act_id) == (NO_CALL, "")


def test_a_tool_that_names_no_place_explains_any(joiner: Joiner):
    joiner.note(call("c1", "the quarterly figures"))
    assert joiner.see(seen("k1", "db.example:5432", 1000.3)).note == ""


def test_an_agent_that_tells_nothing_is_not_held_to_an_account(joiner: Joiner):
    assert joiner.see(seen("k1", "anywhere.example:443", 1000.0)).note == ""


def test_two_deeds_that_would_do_are_not_guessed_between(joiner: Joiner):
    joiner.note(call("c1", "api.example"))
    joiner.note(call("c2", "api.example"))
    found = joiner.see(seen("k1", "api.example:443", 1000.3))
    assert (found.action.act_id, found.note) == ("", "")


def test_a_call_that_ended_without_its_effect_is_counted_where_ground_truth_is_there(joiner: Joiner):
    joiner.note(call("c1", "api.example"))
    joiner.note(End(run_id="run-1", agent="a", at=1002.0))
    assert joiner.counts["call without effect"] == 0
    joiner.note(call("c2", "api.example", 1010.0, "run-2"))
    joiner.see(seen("k0", "other.example:443", 1010.1))
    joiner.note(End(run_id="run-2", agent="a", at=1012.0))
    assert joiner.counts["call without effect"] == 1


def test_agents_do_not_explain_each_other(joiner: Joiner):
    joiner.note(call("c1", "api.example"))
    other = Action(kind="connect", target="api.example:443", id="k", at=1000.1, agent="b", metadata={"source": "ebpf"})
    assert joiner.see(other).action.act_id == ""


def test_what_the_agent_says_of_itself_is_a_call_even_by_a_report(joiner: Joiner):
    assert joiner.see(call("c1", "api.example")).action == call("c1", "api.example")
    assert joiner.see(seen("k1", "api.example:443", 1000.1)).action.act_id == "c1"
