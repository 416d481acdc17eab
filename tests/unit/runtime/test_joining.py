"""Calls and effects of one deed become one act; what nothing explains is said, and nothing is guessed."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import pytest

from kaizen_security.contract.action import Action
from kaizen_security.contract.step import End, Result
from kaizen_security.contract.verdict import Decision, Verdict
from kaizen_security.runtime.joining import ELSEWHERE, NO_CALL, Joiner


@pytest.fixture
def joiner() -> Joiner:
    return Joiner(lambda: 1000.0)


def call(name: str, target: str, at: float = 1000.0, run: str = "run-1") -> Action:
    return Action(tool="fetch", target=target, id=name, run_id=run, at=at, agent="a", metadata={"source": "langchain"})


def seen(name: str, target: str, at: float, source: str = "ebpf") -> Action:
    return Action(kind="connect", target=target, id=name, at=at, agent="a", metadata={"source": source})


def test_an_effect_gets_the_act_and_the_run_of_the_call_that_names_its_host(joiner: Joiner):
    joiner.see(call("c1", "https://api.example/v1"))
    found = joiner.see(seen("k1", "api.example:443", 1000.3))
    assert (found.action.act_id, found.action.run_id, found.note) == ("c1", "run-1", "")
    assert found.action.seen_by == ("langchain", "ebpf")
    assert found.action.id == "k1"


def test_proxy_and_kernel_of_one_connection_are_one_act(joiner: Joiner):
    joiner.see(call("c1", "api.example"))
    first = joiner.see(seen("p1", "api.example:443", 1000.2, "egress")).action
    second = joiner.see(seen("k1", "api.example:443", 1000.3)).action
    assert first.act_id == second.act_id == "c1"
    assert joiner.counts == {"joined": 1, "one connection, seen twice": 1}


def test_an_effect_elsewhere_and_one_without_a_call_are_said(joiner: Joiner):
    joiner.see(call("c1", "api.example"))
    assert joiner.see(seen("k1", "attacker.example:443", 1000.3)).note == ELSEWHERE
    joiner.note(Result(run_id="run-1", action_id="c1", agent="a", at=1001.0))
    late = joiner.see(seen("k2", "attacker.example:443", 1050.0))
    assert (late.note, late.action.act_id) == (NO_CALL, "")


def test_a_tool_that_names_no_place_explains_any(joiner: Joiner):
    joiner.see(call("c1", "the quarterly figures"))
    assert joiner.see(seen("k1", "db.example:5432", 1000.3)).note == ""


def test_an_agent_that_tells_nothing_is_not_held_to_an_account(joiner: Joiner):
    assert joiner.see(seen("k1", "anywhere.example:443", 1000.0)).note == ""


def test_two_deeds_that_would_do_are_not_guessed_between(joiner: Joiner):
    joiner.see(call("c1", "api.example"))
    joiner.see(call("c2", "api.example"))
    found = joiner.see(seen("k1", "api.example:443", 1000.3))
    assert (found.action.act_id, found.note) == ("", "")


def test_a_call_that_ended_without_its_effect_is_counted_where_ground_truth_is_there(joiner: Joiner):
    joiner.see(call("c1", "api.example"))
    joiner.note(End(run_id="run-1", agent="a", at=1002.0))
    assert joiner.counts["call without effect"] == 0
    joiner.see(call("c2", "api.example", 1010.0, "run-2"))
    joiner.see(seen("k0", "other.example:443", 1010.1))
    joiner.note(End(run_id="run-2", agent="a", at=1012.0))
    assert joiner.counts["call without effect"] == 1


def test_agents_do_not_explain_each_other(joiner: Joiner):
    joiner.see(call("c1", "api.example"))
    other = Action(kind="connect", target="api.example:443", id="k", at=1000.1, agent="b", metadata={"source": "ebpf"})
    assert joiner.see(other).action.act_id == ""


def test_what_the_agent_says_of_itself_is_a_call_even_by_a_report(joiner: Joiner):
    assert joiner.see(call("c1", "api.example")).action == replace(call("c1", "api.example"), act_id="c1")
    assert joiner.see(seen("k1", "api.example:443", 1000.1)).action.act_id == "c1"


def told(name: str, source: str, at: float, *, tool: str = "fetch", run: str = "run-2", **arguments: str) -> Action:
    metadata = {"source": source, "arguments": arguments} if arguments else {"source": source}
    return Action(tool=tool, id=name, run_id=run, at=at, agent="a", metadata=metadata)


def over(name: str, at: float, run: str = "run-1") -> Result:
    return Result(run_id=run, action_id=name, agent="a", at=at)


@pytest.mark.parametrize("tool", ["fetch", "mcp__notes__fetch", "notes.fetch"])
@pytest.mark.parametrize("source", ["mcp", "otel"])
def test_a_call_that_two_sources_tell_of_is_one_act(joiner: Joiner, tool: str, source: str):
    joiner.see(call("c1", "the quarterly figures"))
    found = joiner.see(told("t1", source, 1000.1, tool=tool)).action
    assert (found.act_id, found.run_id, found.id) == ("c1", "run-1", "t1")
    assert joiner.counts == {"one call, told twice": 1}


def test_another_tool_and_a_second_call_of_one_source_are_acts_of_their_own(joiner: Joiner):
    joiner.see(call("c1", "x"))
    assert joiner.see(told("t0", "mcp", 1000.1, tool="prefetch")).action.act_id == "t0"
    assert joiner.see(told("t1", "mcp", 1000.1)).action.act_id == "c1"
    assert joiner.see(told("t2", "mcp", 1000.2)).action.act_id == "t2"
    assert joiner.see(told("t3", "otel", 1010.0)).action.act_id == "t3"


def test_of_parallel_calls_arguments_tell_which_or_nobody(joiner: Joiner):
    joiner.see(told("c1", "langchain", 1000.0, run="run-1", page="1"))
    joiner.see(told("c2", "langchain", 1000.0, run="run-1", page="2"))
    assert joiner.see(told("t2", "mcp", 1000.1, page="2")).action.act_id == "c2"
    joiner.see(told("c3", "langchain", 1000.0, run="run-1", page="3"))
    assert joiner.see(told("t0", "mcp", 1000.1, page="0")).action.act_id == "t0"


def test_of_calls_in_a_row_the_nearest_is_the_one_that_was_told(joiner: Joiner):
    for i in range(3):
        joiner.see(told(f"c{i}", "langchain", 1000.0 + i / 5, run="run-1"))
    found = [joiner.see(told(f"t{i}", "otel", 1000.001 + i / 5)).action.act_id for i in range(3)]
    assert found == ["c0", "c1", "c2"]


def test_an_effect_within_the_only_call_that_ran_is_of_it_and_one_after_it_is_not(joiner: Joiner):
    joiner.see(call("c1", "the quarterly figures"))
    joiner.note(over("c1", 1000.4))
    assert joiner.see(seen("k1", "db.example:5432", 1000.3)).action.act_id == "c1"
    assert joiner.see(seen("k2", "model.example:443", 1000.42)).action.act_id == ""


def test_nobody_guesses_between_calls_that_ran_side_by_side(joiner: Joiner):
    joiner.see(told("c1", "langchain", 1000.0, run="run-1", page="1"))
    joiner.see(told("c2", "langchain", 1000.0, run="run-1", page="2"))
    joiner.note(over("c1", 1000.4))
    assert joiner.see(seen("k1", "db.example:5432", 1000.3)).action.act_id == ""


def test_an_effect_that_came_before_its_call_was_over_is_reported_again_with_its_act():
    again: list[tuple[str, str, str]] = []
    joiner = Joiner(lambda: 1000.0, lambda action, verdict: again.append((action.id, action.act_id, action.run_id)))
    verdict = Verdict(decision=Decision.ALLOW, reason="no policy matched")
    assert joiner.see(seen("k1", "db.example:5432", 1000.3), verdict).action.act_id == ""
    joiner.see(call("c1", "the quarterly figures"))
    assert joiner.see(seen("k2", "db.example:5432", 1000.35, "egress"), verdict).action.act_id == "k1"
    assert again == []
    joiner.note(over("c1", 1000.4))
    assert again == [("k1", "c1", "run-1"), ("k2", "c1", "run-1")]
    joiner.note(End(run_id="run-1", agent="a", at=1001.0))
    assert len(again) == 2
    assert (joiner.act_of("a", "k2"), joiner.act_of("a", "c1"), joiner.act_of("a", "k9")) == (
        ("c1", "run-1"),
        ("c1", "run-1"),
        ("", ""),
    )


@pytest.mark.parametrize("kind", ["call", "effect"])
def test_a_row_that_was_refused_is_not_sent_without_its_arguments_but_whole_when_it_is_seen_again(kind: str):
    sent: list[Action] = []
    room = [False]
    joiner = Joiner(lambda: 1000.0, lambda action, verdict: room[0] and sent.append(action) is None)
    verdict = Verdict(decision=Decision.ALLOW, reason="no policy matched")
    details = {"argv": ["psql", "-h", "db.example"]}
    effect = seen("x", "db.example:5432", 1000.3)
    whole = (
        told("x", "mcp", 1000.1, page="1")
        if kind == "call"
        else replace(effect, metadata={**effect.metadata, **details})
    )

    def made_known(id_: str) -> None:
        """What is told of the deed only now."""
        if kind == "call":
            joiner.see(replace(told(id_, "langchain", 1000.0, run="run-1", page="1"), act_id=f"act-{id_}"))
        else:
            joiner.see(call(id_, "the quarterly figures"))
            joiner.note(over(id_, 1000.4))

    assert not joiner.report(joiner.see(whole, verdict).action, verdict)
    room[0] = True
    made_known("c1")
    assert sent == []
    assert joiner.report(joiner.see(whole, verdict).action, verdict)
    assert [(one.id, one.metadata) for one in sent] == [("x", whole.metadata)]


def test_where_the_agent_goes_without_a_call_is_of_none(joiner: Joiner):
    joiner.background = lambda agent, host: host == "model.example"
    joiner.see(call("c1", "the quarterly figures"))
    joiner.note(over("c1", 1000.4))
    found = joiner.see(seen("k1", "model.example:443", 1000.3))
    assert (found.action.act_id, found.note) == ("", "")


def test_the_act_has_the_name_that_whoever_did_it_gave_whatever_was_heard_first():
    again: list[tuple[str, str, str]] = []
    joiner = Joiner(lambda: 1000.0, lambda action, verdict: again.append((action.id, action.act_id, action.run_id)))
    verdict = Verdict(decision=Decision.ALLOW, reason="no policy matched")
    assert joiner.see(told("m1", "mcp", 1000.1, run="whole"), verdict).action.act_id == "m1"
    named = replace(told("c1", "langchain", 1000.0, run="run-1"), act_id="call_7")
    assert joiner.see(named, verdict).action.act_id == "call_7"
    assert again == [("m1", "call_7", "run-1")]
    assert joiner.see(told("t1", "langchain", 1000.0), teller="trace").action.act_id == "call_7"
    assert joiner.see(told("t2", "langchain", 1000.01), teller="trace").action.act_id == "t2"


def test_what_a_run_read_and_wrote_is_not_kept_by_it():
    tracemalloc.start()
    try:
        joiner = Joiner(lambda: 1000.0)
        verdict = Verdict(decision=Decision.ALLOW, reason="no policy matched")
        for i in range(200):
            text = f"{i}" * 50_000
            joiner.see(told(f"c{i}", "sdk", 1000.0 + i, text=text, more=text), verdict)
            action = replace(seen(f"e{i}", "db.example:1", 1000.0 + i), metadata={"source": "ebpf", "argv": [text]})
            joiner.see(action, verdict)
        assert tracemalloc.get_traced_memory()[0] < 2_000_000
    finally:
        tracemalloc.stop()
    again = joiner.see(replace(told("m1", "mcp", 1199.0), act_id="call_9"), verdict).action
    assert again.act_id == "call_9"
