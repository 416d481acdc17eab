"""The corpus of poisoned MCP servers: what is an attack is held back or stopped, its benign twin passes untouched."""

from __future__ import annotations

import pytest

from tests.red_team.mcp.poison import Server, cases, prose


def named(case):
    return case["name"]


@pytest.mark.parametrize("case", cases("definitions"), ids=named)
def test_a_poisoned_tool_is_neither_shown_nor_called_and_its_twin_is_both(case):
    tool, twin = case["tool"], case["twin"]
    server = Server(others=case.get("others", []))
    assert server.lists([tool]) == []
    assert server.flagged
    assert not server.passes(tool["name"])
    benign = Server(others=case.get("others", []))
    assert benign.lists([twin]) == [twin["name"]]
    assert not benign.flagged
    assert benign.passes(twin["name"])


@pytest.mark.parametrize("case", cases("changes"), ids=named)
def test_a_tool_that_changed_is_held_back_and_one_that_did_not_is_not(case):
    server = Server()
    assert server.lists(case["before"]) == [tool["name"] for tool in case["before"]]
    assert server.lists(case["after"]) == []
    assert not any(server.passes(tool["name"]) for tool in case["after"])
    assert server.lists(case["before"]) == [tool["name"] for tool in case["before"]]
    twin = Server()
    twin.lists(case["before"])
    assert twin.lists(case["twin"]) == [tool["name"] for tool in case["twin"]]


@pytest.mark.parametrize("case", cases("texts"), ids=named)
def test_poisoned_text_is_stopped_in_enforce_and_flagged_in_observe(case):
    enforcing = Server(enforcing=True)
    assert not enforcing.says(case, case["text"])
    assert enforcing.flagged
    observing = Server()
    observing.says(case, case["text"])
    assert observing.flagged


@pytest.mark.parametrize("case", cases("texts"), ids=named)
@pytest.mark.parametrize("enforcing", [True, False])
def test_its_twin_passes_as_it_came(case, enforcing):
    server = Server(enforcing=enforcing)
    assert server.says(case, case["twin"])
    assert not server.flagged


@pytest.mark.parametrize("text", prose())
def test_prose_that_speaks_of_secrets_and_attacks_is_no_attack(text):
    server = Server(enforcing=True)
    assert server.lists([{"name": "tool", "description": text, "inputSchema": {"type": "object"}}]) == ["tool"]
    assert server.says({}, text)
    assert not server.flagged
