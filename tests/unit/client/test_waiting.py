"""Reports that wait: they come out as they went in, and the garbage collector has nothing to look through."""

from __future__ import annotations

import gc
from dataclasses import replace

import pytest
from hypothesis import given

from kaizen_security.client.arguments import plain
from kaizen_security.client.waiting import MAX_PACKED, packed, unpacked
from kaizen_security.contract.action import Action
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.verdict import Decision, Verdict
from tests.properties import strategies as s

ALLOWED = Verdict(decision=Decision.ALLOW, reason="no policy matched", policy_version="0123456789abcdef")
FLAGGED = replace(ALLOWED, evidence=(Finding("undeclared tool", "t", "declaration", field="tool"),))


@pytest.mark.parametrize("verdict", [ALLOWED, FLAGGED])
@pytest.mark.parametrize(
    "metadata", [{}, {"source": "sdk"}, {"arguments": {"to": ["a", {"b": 1.5}]}, "sensitive": True}]
)
def test_what_waits_is_nothing_that_is_collected(verdict, metadata):
    entry = packed(Action(tool="t", metadata=metadata, delegation=("a", "b")), verdict, "1", 2.0, "r")
    assert not gc.is_tracked(entry)


@given(s.actions, s.verdicts)
def test_it_comes_out_as_it_went_in(action, verdict):
    did, metadata, said, *rest = unpacked(packed(action, verdict, "an id", 7.5, "a run"))
    kept = replace(action, metadata=did.metadata, agent=did.agent, organisation=did.organisation)
    assert (did, rest) == (kept if did.metadata == {} else action, ["an id", 7.5, "a run"])
    assert metadata == plain(dict(action.metadata))
    assert replace(said, at=0.0) == replace(verdict, at=0.0)


def test_what_is_changed_afterwards_is_not_what_was_done():
    arguments = {"to": ["a"]}
    entry = packed(Action(metadata={"arguments": arguments}), ALLOWED, "", 0.0, "")
    arguments["to"].append("b")
    assert unpacked(entry)[1] == {"arguments": {"to": ["a"]}}


class Own(str):
    """A text of the agent's own class."""


@pytest.mark.parametrize("value", [object(), Own("x"), {"x" * MAX_PACKED}, lambda: None])
def test_an_object_of_the_agents_own_is_made_plain_at_once(value):
    _, metadata, *_ = unpacked(packed(Action(metadata={"arguments": {"a": value}}), ALLOWED, "", 0.0, ""))
    assert metadata == plain({"arguments": {"a": value}})
