"""Agents as the console shows them."""

from __future__ import annotations

from dataclasses import replace

from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.depth import Rung
from kaizen_security.contract.verdict import Decision, Mode, Verdict
from kaizen_security.server.console.agents import MAX_SHOWN, agent_view, declaration_view, learning, sparkline
from kaizen_security.store.base import Agent, Hour, Origin
from tests.unit.console.rows import NOW, UNDECLARED, row


def hour(back, actions=10, flagged=0, blocked=0):
    return Hour(agent="a", at=(NOW // 3600 - back) * 3600, actions=actions, flagged=flagged, blocked=blocked)


def test_a_sparkline_holds_the_last_day_and_nothing_older():
    shown = sparkline([hour(0), hour(23), hour(24, 1000), hour(-1, 1000)], NOW)
    assert (len(shown.bars), shown.actions) == (2, 20)
    assert shown.spoken == "Last 24 hours: 20 actions, 0 flagged, 0 blocked"


def test_one_block_among_a_million_actions_can_still_be_seen():
    shown = sparkline([hour(0, 1_000_000, 1, 1), hour(1, 1_000_000)], NOW)
    assert [bar.mark for bar in shown.bars] == ["", "block"]
    assert shown.bars[1].mark_height >= 4


def test_every_bar_stays_within_its_box():
    for bar in sparkline([hour(back, actions=back * 999) for back in range(24)], NOW).bars:
        assert 0 <= bar.x <= 116
        assert 0 <= bar.y < bar.y + bar.height <= 29.01


def test_no_actions_is_an_empty_line_and_no_error():
    assert sparkline([], NOW).bars == ()


def test_what_a_baseline_does_is_read_from_what_the_observer_noted():
    why = "novelty abstains on tool: baseline too young, 20 of 999 observations"
    young = row("2", verdict=Verdict(decision=Decision.ALLOW, reason="ok", notes=(why,)))
    sure = row("1", verdict=Verdict(decision=Decision.ALLOW, reason="ok"))
    claim = row("3", origin=Origin.CLAIM)
    assert learning([claim, young, sure]).word == "Learning"
    assert why in learning([claim, young, sure]).means
    new = row(
        "4", verdict=Verdict(decision=Decision.ALLOW, reason="…", evidence=(replace(UNDECLARED, detection="novelty"),))
    )
    assert learning([new, sure]).word == "Ready"
    # Nothing was new: that says nothing of whether something new would have been found.
    assert learning([sure]).word == "All known"
    assert learning([claim]).word == "Nothing yet"


def test_an_agent_that_was_only_declared_is_shown_as_that():
    shown = agent_view(Agent(name="new", organisation=1, declaration=Declaration(tools=("a",))), [], NOW, learning([]))
    assert (shown.rung, shown.seen_short, shown.declared_word) == (0, "not seen yet", "1 tool")


def test_a_rung_is_explained_in_a_sentence():
    seen = Agent(name="a", organisation=1, rung=Rung.COOPERATIVE, last_seen=NOW - 120, mode=Mode.ENFORCE)
    shown = agent_view(seen, [], NOW, None)
    assert "could stay silent or lie" in shown.rung_means
    assert (shown.mode_word, shown.seen_short) == ("Enforce", "seen 2 minutes ago")


def test_a_declaration_of_thousands_is_shown_in_part_and_says_so():
    shown = declaration_view(Declaration(tools=tuple(f"t{i}" for i in range(5000)), destinations=("a.example",)))
    assert len(dict(shown.lists)["Tools"]) == MAX_SHOWN
    assert shown.more == 5000 - MAX_SHOWN
