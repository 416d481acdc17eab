"""What a person accepts when a tool of an MCP server has changed: exactly this definition, of this server, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kaizen_security.contract.action import Action
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.suppression import Suppressions, acceptance, can_accept, can_suppress, why_kept
from kaizen_security.contract.verdict import Decision, Verdict

LOAD = Action(kind="skill_load", tool="look", publisher="desk", hash="ab" * 32, metadata={"source": "mcp"})
PINS = Finding(kind="changed tool", value="look", detection="tool_pins", source="pins")


def test_the_load_of_a_definition_and_a_call_that_was_held_back_for_it_accept_the_same():
    call = replace(LOAD, kind="tool_call", target="https://a.example/x", run_id="r", id="7")
    assert acceptance(call) == acceptance(LOAD)
    assert Suppressions(frozenset({acceptance(call)}), b"k" * 32).accepts(LOAD)


@pytest.mark.parametrize("other", [{"hash": "cd" * 32}, {"tool": "look2"}, {"publisher": "desk2"}])
def test_nothing_else_is_accepted_with_it(other):
    accepted = Suppressions(frozenset({acceptance(LOAD)}), b"k" * 32)
    assert not accepted.accepts(replace(LOAD, **other))
    assert not Suppressions().accepts(LOAD)


def test_it_quiets_no_flag():
    accepted = Suppressions(frozenset({acceptance(LOAD)}), b"k" * 32)
    verdict = Verdict(decision=Decision.BLOCK, reason="tool_pins: changed tool (look).", evidence=(PINS,))
    assert not accepted.cover(LOAD, verdict)
    assert not can_suppress((PINS,))


@pytest.mark.parametrize(
    ("action", "evidence", "may"),
    [
        (LOAD, (PINS,), True),
        (replace(LOAD, hash=""), (PINS,), False),
        (replace(LOAD, publisher=""), (PINS,), False),
        (LOAD, (), False),
        (LOAD, (PINS, replace(PINS, detection="secrets")), False),
    ],
)
def test_only_a_definition_that_is_held_back_can_be_accepted(action, evidence, may):
    assert can_accept(action, evidence) == may


@pytest.mark.parametrize(
    ("detection", "source", "why"),
    [
        ("declaration", "declaration", ""),
        ("policy", "policy:hosts", "a policy denies this; change the policy"),
        ("declaration", "policy:hosts", "a policy denies this; change the policy"),
        ("secrets", "secrets", "nobody can release what secrets has found"),
    ],
)
def test_why_somebody_may_not_release_it_is_said(detection, source, why):
    found = Finding(kind="k", value="v", source=source, detection=detection)
    assert why_kept([found]) == why
    assert can_suppress([found]) is (why == "")
