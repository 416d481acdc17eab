"""What somebody says of itself names no rung that it is not on."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given

from kaizen_security.contract.action import Action, told
from kaizen_security.contract.depth import Rung
from kaizen_security.contract.step import Claim, Effect, End, told_step
from tests.properties import strategies as s


@given(s.actions)
def test_nothing_that_was_told_is_ground_truth_and_the_rest_stays(action):
    heard = told(action)
    assert heard.rung < Rung.EGRESS
    assert told(heard) == heard
    assert replace(heard, metadata=action.metadata, seen_by=action.seen_by) == action
    if action.rung < Rung.EGRESS:
        assert heard.metadata == action.metadata


def test_the_sources_that_it_names_besides_are_told_too():
    action = Action(metadata={"source": "ebpf", "n": 1}, seen_by=("sdk", "egress", "ebpf"))
    heard = told(action)
    assert (heard.metadata, heard.seen_by) == (
        {"source": "ebpf-told", "n": 1},
        ("sdk", "egress-told", "ebpf-told"),
    )


def test_an_effect_that_it_states_is_a_claim_and_other_steps_stay():
    seen = Action(kind="connect", target="a.example:443", metadata={"source": "egress"})
    assert told_step(Effect(run_id="r", action=seen, agent="a", at=7.0)) == Claim(
        run_id="r", action=told(seen), agent="a", at=7.0
    )
    end = End(run_id="r")
    assert told_step(end) is end
    assert told_step(seen) == told(seen)
