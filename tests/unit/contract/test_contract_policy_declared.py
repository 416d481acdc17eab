"""Compiled declarations: what they say and what they remember; the golden vectors hold what is declared."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kaizen_security.contract import declared as module
from kaizen_security.contract.action import Action
from kaizen_security.contract.codec import decode_declaration, encode_declaration
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.declared import compile_declaration, extended
from kaizen_security.contract.fields import MAX_LIST
from kaizen_security.contract.finding import Finding

AGENT = Declaration(tools=("search",), destinations=("api.example:443", "10.0.0.0/8"))


def test_a_finding_of_a_tool_is_full():
    (finding,) = compile_declaration(AGENT).undeclared(Action(tool="drop"))
    assert finding == Finding(
        kind="undeclared tool",
        value="drop",
        source="declaration",
        detection="declaration",
        field="tool",
        expected="one of the 1 declared tools",
        observed="drop",
        advice="If the agent needs this tool, declare it.",
        attack="undeclared",
    )


def test_a_finding_of_a_destination_says_host_and_port():
    (finding,) = compile_declaration(AGENT).undeclared(Action(kind="connect", target="evil.example:8443"))
    assert (finding.value, finding.observed, finding.field) == ("evil.example", "evil.example:8443", "target")
    assert finding.expected == "one of the 2 declared destinations"


def test_a_finding_of_a_port_says_that_it_is_the_port():
    (finding,) = compile_declaration(AGENT).undeclared(Action(kind="connect", target="api.example:22"))
    assert finding.expected == "a declared port of api.example"


def test_a_finding_of_what_is_no_host_says_so_and_is_bounded():
    (finding,) = compile_declaration(AGENT).undeclared(Action(kind="connect", target="x y" * 1000))
    assert "not a well-formed host" in finding.observed
    assert len(finding.value) == 512


def test_tool_and_destination_answer_by_themselves():
    declared = compile_declaration(AGENT)
    assert declared.tool("Search")
    assert not declared.tool("drop")
    assert declared.destination("https://api.example/x")
    assert declared.destination("10.9.9.9:1")
    assert not declared.destination("evil.example")
    nothing = compile_declaration(Declaration())
    assert nothing.tool("drop")
    assert nothing.destination("evil.example")


def test_what_is_remembered_is_bounded_and_what_is_dropped_is_counted(monkeypatch):
    monkeypatch.setattr(module, "_REMEMBERED", 10)
    declared = compile_declaration(AGENT)
    for i in range(95):
        declared.undeclared(Action(tool=f"t{i}"))
    declared.undeclared(Action(tool="x" * 4000))
    assert declared.forgotten == 90
    assert len(declared._known) <= 10


def test_the_kind_counts_for_what_is_remembered():
    declared = compile_declaration(AGENT)
    assert declared.undeclared(Action(kind="file", tool="search", target="evil.example")) == ()
    assert declared.undeclared(Action(kind="connect", tool="search", target="evil.example")) != ()


@pytest.mark.parametrize(
    "target", ["*.com", "https://*.com:443/x", "https://*/", "https://%2a.com/", "https://\uff0a.com/", "a*b.com:1"]
)
@pytest.mark.parametrize("kind", ["connect", "http", "tool_call"])
def test_learning_a_host_of_stars_declares_nothing_that_nobody_looked_at(kind, target):
    # An agent chooses what a person is asked to call normal.
    stated = Declaration(tools=("search",), destinations=("api.example",))
    wider = extended(stated, Action(kind=kind, tool="send", target=target))
    assert wider == replace(stated, tools=("search", "send"))


@pytest.mark.parametrize("number", [MAX_LIST - 1, MAX_LIST])
def test_learning_never_makes_a_declaration_that_nobody_can_read(number):
    stated = Declaration(
        tools=tuple(f"t{n}" for n in range(number)), destinations=tuple(f"h{n}.example" for n in range(number))
    )
    wider = extended(stated, Action(kind="http", tool="send", target="https://new.example/"))
    assert decode_declaration(encode_declaration(wider)) == wider
    assert (len(wider.tools), len(wider.destinations)) == (MAX_LIST, MAX_LIST)
    blank = extended(stated, Action(kind="http", tool=" \t", target="https://new.example:99999999/"))
    compile_declaration(blank)
