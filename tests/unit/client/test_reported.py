"""Calls that an attachment has reported, as a span of the same call finds them."""

from __future__ import annotations

from dataclasses import replace

from kaizen_security.client.acts import Reported, Spanned
from kaizen_security.contract.action import Action

SPAN = Spanned(
    tool="read",
    arguments={"bill": "b1"},
    begun=10.0,
    ended=11.0,
    id="",
    around="",
    agent="assistant",
    asked="assistant",
    trace=0,
)


def told(id_: str, agent: str = "assistant", *, delegation: tuple[str, ...] = ()) -> Action:
    return Action(
        tool="read", id=id_, agent=agent, at=10.0, delegation=delegation, metadata={"arguments": {"bill": "b1"}}
    )


def reported(*actions: Action, trace: int = 0) -> Reported:
    made = Reported()
    made.trace = lambda: trace
    for action in actions:
        made.add_act(action, 10.0, runs=True)
    return made


def test_an_act_answers_for_one_span_of_its_own_agent():
    known = reported(told("a"))
    assert not known.take_act(replace(SPAN, agent="other", asked="other"))
    assert known.take_act(SPAN)
    assert not known.take_act(SPAN)


def test_a_sub_agent_s_act_is_the_run_s_and_the_very_agent_s_is_taken_first():
    below = [told(name, f"assistant/{name}", delegation=("assistant",)) for name in ("reader", "payer")]
    known = reported(*below)
    assert known.take_act(replace(SPAN, agent="assistant/payer"))
    assert list(known._acts) == ["reader"]
    assert known.take_act(replace(SPAN, agent="assistant/called something else by the span"))


def test_where_traces_are_known_they_say_whether_it_is_the_same_call():
    for trace, agent, is_known in ((7, "assistant", True), (7, "other", True), (8, "assistant", False)):
        known = reported(told("a"), trace=7)
        assert known.take_act(replace(SPAN, trace=trace, agent=agent, asked=agent)) is is_known


def test_what_runs_around_the_span_is_the_same_call_whatever_else_is_known():
    known = reported(told("a"), told("b"), trace=7)
    assert known.take_act(replace(SPAN, trace=8, around="b", begun=500.0, ended=501.0))
    assert list(known._acts) == ["a"]


def test_another_tool_other_arguments_another_time_or_another_id_is_another_call():
    known = reported(replace(told("a"), act_id="call_1"))
    for other in ({"tool": "pay"}, {"arguments": {}}, {"begun": 20.0, "ended": 21.0}, {"id": "call_2"}):
        assert not known.take_act(replace(SPAN, **other))
    assert known.take_act(replace(SPAN, arguments=None))
