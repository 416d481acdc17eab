"""Equal calls without ids of their own: one until its result has come, another after it."""

from __future__ import annotations

from itertools import count

from kaizen_security.contract.action import Action
from kaizen_security.contract.step import Result
from kaizen_security.integrations.coding import UNNAMED
from kaizen_security.sidecar.occurrences import Occurrences

CALL = Action(tool="pay", agent="a", run_id="s1", id="s1:shape" + UNNAMED)
CAME = Result(run_id="s1", action_id=CALL.id, agent="a")


def known(**settings):
    numbers = count(1)
    return Occurrences(lambda: str(next(numbers)), **settings)


def test_a_call_that_is_asked_about_again_is_the_same_until_its_result_has_come():
    calls = known()
    first = calls.asked(CALL).id
    assert calls.asked(CALL).id == first
    assert calls.over(CAME).action_id == first
    second = calls.asked(CALL).id
    assert second != first
    assert calls.over(CAME).action_id == second


def test_another_agent_s_equal_call_is_its_own():
    calls = known()
    other = Action(tool="pay", agent="b", run_id="s1", id=CALL.id)
    assert calls.asked(CALL).id != calls.asked(other).id


def test_ids_that_an_assistant_gives_are_left_as_they_are():
    calls = known()
    named = Action(tool="pay", agent="a", run_id="s1", id="s1:toolu_1")
    assert calls.asked(named) is named
    came = Result(run_id="s1", action_id="s1:toolu_1", agent="a")
    assert calls.over(came) is came


def test_a_result_of_what_nobody_asked_about_is_left_as_it_is():
    assert known().over(CAME) is CAME


def test_the_longest_unasked_makes_room_and_an_id_stays_as_long_as_ids_may_be():
    calls = known(most=2)
    of = lambda text: Action(tool="pay", agent="a", id=text + UNNAMED)  # noqa: E731
    first = calls.asked(of("x" * 255)).id
    calls.asked(of("y"))
    calls.asked(of("z"))
    again = calls.asked(of("x" * 255)).id
    assert first != again
    assert len(Occurrences().asked(of("x" * 255)).id) <= 256


def named(agent, text):
    return Action(tool="pay", agent=agent, id=text + UNNAMED)


def test_an_agent_that_asks_for_many_makes_no_other_agent_s_waiting_call_another():
    calls = known(most=8)
    waiting = calls.asked(named("patient", "held")).id
    flood = [calls.asked(named("flood", str(one))).id for one in range(100)]
    assert calls.asked(named("patient", "held")).id == waiting
    assert calls.asked(named("flood", "99")).id == flood[-1]
    assert calls.asked(named("flood", "0")).id not in flood


def test_calls_and_agents_that_are_remembered_are_bounded_and_none_is_counted_twice():
    calls = known(most=8, most_agents=4)
    for agent in range(50):
        calls.asked(named(str(agent), "x"))
        calls.asked(named(str(agent), "x"))
        calls.over(Result(run_id="", action_id="x" + UNNAMED, agent=str(agent % 3)))
    assert len(calls._open) <= 4
    assert calls._count == sum(map(len, calls._open.values()))
