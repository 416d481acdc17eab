"""From where a scenario can be seen, it can."""

from __future__ import annotations

import pytest

from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.depth import Rung
from kaizen_security.redteam.corpus import load
from kaizen_security.redteam.scenario import Deed, Effect, Shelf, seen_at
from kaizen_security.runtime.inspector import Inspector

TEN = load(shelves=(Shelf.SCENARIOS,))
TRUTH = (Rung.EGRESS, Rung.KERNEL)


def seen(deed, rung):
    return seen_at(deed, rung, agent="a", action_id="1")


@pytest.mark.parametrize("scenario", load(shelves=(Shelf.SCENARIOS, Shelf.HARD)), ids=lambda scenario: scenario.id)
def test_the_stated_rungs_are_those_that_see_something_new(scenario):
    # Ground truth has no names of tools: only a host, a file or a command that the twin leaves alone tells the two apart.
    for rung in TRUTH:
        usual = {where(deed, rung) for deed in scenario.benign}
        told_apart = any(where(deed, rung) not in usual for deed in scenario.attacks)
        assert (rung in scenario.rungs) is told_apart
    assert (Rung.CHOKEPOINT in scenario.rungs) is any(deed.source == "mcp" for deed in scenario.attacks)
    assert Rung.COOPERATIVE in scenario.rungs


def where(deed, rung):
    action = seen(deed, rung)
    return action and (action.kind, action.target)


@pytest.mark.parametrize(
    "scenario", [scenario for scenario in TEN if Rung.EGRESS in scenario.rungs], ids=lambda scenario: scenario.id
)
def test_what_leaves_to_a_host_nobody_declared_is_flagged_at_the_proxy_alone(scenario):
    inspector = Inspector(clock=lambda: 1.0)
    inspector.configure("a", Bundle(agent="a", version=1, policies=scenario.policies, declaration=scenario.declaration))
    attacks = [seen(deed, Rung.EGRESS) for deed in scenario.attacks]
    benign = [action for deed in scenario.benign if (action := seen(deed, Rung.EGRESS))]
    assert any(inspector.observe(action).flagged for action in attacks if action)
    assert not any(inspector.observe(action).flagged for action in benign)


def test_ground_truth_has_neither_tool_nor_arguments():
    deed = Deed(effect=Effect.HTTP_POST, tool="t", target="http://a.example/x?y", arguments={"z": 1})
    action = seen(deed, Rung.EGRESS)
    assert (action.kind, action.target, action.tool, dict(action.metadata)) == (
        "connect",
        "a.example:80",
        "",
        {"source": "egress"},
    )


@pytest.mark.parametrize(
    ("deed", "kernel"),
    [
        (Deed(effect=Effect.READ_FILE, tool="t", target="/x"), ("file", "/x")),
        (Deed(effect=Effect.RUN_COMMAND, tool="t", arguments={"command": ["env", "-0"]}), ("exec", "env")),
        (Deed(effect=Effect.QUERY, tool="t"), None),
        (Deed(effect=Effect.HTTP_GET, tool="t", target="https://a.example:8443/"), ("connect", "a.example:8443")),
    ],
)
def test_the_kernel_sees_files_commands_and_connections(deed, kernel):
    assert where(deed, Rung.KERNEL) == kernel


def test_what_is_told_is_not_seen():
    with pytest.raises(ValueError, match="as_action"):
        seen(Deed(effect=Effect.QUERY, tool="t"), Rung.COOPERATIVE)
