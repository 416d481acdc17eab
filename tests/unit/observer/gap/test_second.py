"""What the second author's lies and honest runs taught the gap, one mechanism a test."""

from __future__ import annotations

import pytest

from kaizen_security.contract.step import End
from kaizen_security.observer.gap.learned import Learned
from kaizen_security.observer.gap.ledger import Ledger
from tests.unit.observer.gap.test_gap import RESEARCH, SUPPORT, Story

FILES = {"tools": ["edit_file"], "files": ["/p"]}


def edited(seen, told="/p/src/a.py"):
    story = Story(FILES).ask().call("edit_file", path=told)
    return story.see(seen, kind="file", source="sandbox", up=None).back().end().kinds


@pytest.mark.parametrize(
    ("carried", "gaps"),
    [({"up": 0}, ["reported but not seen"]), ({"up": 0, "ended": False}, []), ({"up": 300}, [])],
)
def test_a_connection_that_sent_nothing_carried_no_call(carried, gaps):
    assert Story(SUPPORT).ask().call().see("api.internal:443", **carried).back().end().kinds == gaps


def test_an_empty_try_before_the_one_that_succeeds_is_no_gap():
    story = Story(SUPPORT).ask().call().see("api.internal:443", up=0).see("api.internal:443", up=300)
    assert story.see("api.internal:443", up=0).back().end().gaps == []


def test_a_connection_that_was_over_before_a_call_began_is_another_calls():
    story = Story(SUPPORT).ask().call().see("api.internal:443", up=300).back()
    assert story.call().back().end().kinds == ["reported but not seen"]


def test_a_connection_that_lasts_carries_the_calls_to_come():
    story = Story(SUPPORT).ask().call().see("api.internal:443", up=300, duration_ms=9000).back()
    assert story.call().back().call().back().end().gaps == []


def test_a_connection_that_began_outside_of_every_call_shows_that_clocks_differ():
    story = Story(SUPPORT).ask().see("api.internal:443", up=300, duration_ms=1500).call().back()
    assert story.call().back().end().gaps == []


def test_pieces_of_many_calls_add_up():
    story = Story(SUPPORT).ask()
    for _ in range(5):
        story.call(order="A-1").see("api.internal:443", up=25_000).back()
    assert story.end().kinds == ["more bytes than reported"]
    story = Story(SUPPORT).ask()
    for _ in range(50):
        story.call(order="A-1").see("api.internal:443", up=4_000).back()
    assert story.end().gaps == []


def test_where_all_must_pass_a_tool_that_was_never_seen_made_it_up():
    stated = {**SUPPORT, "forced": True, "reach": {"lookup_order": ["api.internal"]}}
    assert Story(stated).ask().call().back().end().kinds == ["reported but not seen"]
    assert Story({**stated, "forced": False}).ask().call().back().end().gaps == []
    story = Story(stated).ask().call().see("api.internal:443", up=300).back().end()
    assert story.tick(600).ask("s").call(run="s").back(run="s").end("s").gaps == []


def test_where_an_agent_was_seen_outlives_a_restart():
    story = Story(RESEARCH).ask().call("fetch", url="https://github.com/a").see("github.com:443", up=300).back().end()
    learned = Learned.from_json(story.ledger.learned.to_json(), 0)
    again = Story(RESEARCH, learned=learned).ask().call("fetch", url="https://github.com/a").back().end()
    assert again.gaps == []


def test_a_run_that_broke_off_made_nothing_up():
    story = Story(SUPPORT).ask().call()
    assert story.note(End(run_id="r", completed=False, at=story.now)).tick(10).gaps == []


@pytest.mark.parametrize(
    ("told", "seen", "gap"),
    [
        ("http://github.com/a", "github.com:443", False),
        ("https://github.com/a", "github.com:80", True),
        ("https://github.com/a", "www.github.com:443", False),
        ("https://www.github.com/a", "github.com:443", False),
        ("https://github.com/a", "gist.github.com:443", True),
        ("https://github.com/a", "www.gist.github.com:443", True),
    ],
)
def test_what_belongs_to_a_page(told, seen, gap):
    story = Story(RESEARCH).ask().call("fetch", url=told).see(seen, up=300).back().end()
    assert bool(story.gaps) == gap


@pytest.mark.parametrize(
    ("name", "gap"),
    [
        ("api.internal.agents.svc.cluster.local", False),
        ("api.internal.cluster.local", False),
        ("model.internal.cluster.local", False),
        ("c2VjcmV0.api.internal.cluster.local", True),
        ("api.internal.attacker.example", True),
        ("c2VjcmV0.api.internal", True),
        ("cluster.local", True),
    ],
)
def test_search_domains_of_a_resolver(name, gap):
    story = Story(SUPPORT).ask().call().see(name, kind="dns").see("api.internal:443", up=300).back().end()
    assert bool(story.gaps) == gap


@pytest.mark.parametrize(
    "seen",
    ["a.py.tmp", "a.py~", "a.py.bak", ".a.py.swp", "#a.py#", ".#a.py", ".a.py.Xb3d9K", "a.py.tmp.8812", "a.py.8812"],
)
def test_what_an_editor_writes_first_is_the_file(seen):
    assert edited(f"/p/src/{seen}") == []
    assert edited(f"/p/src/{seen}", "src/a.py") == []
    assert edited(f"/p/src/{seen}", "a.py") == []


@pytest.mark.parametrize(
    "seen", ["/p/src/a.pyc", "/p/src/b.py", "/p/a.py.tmp", "/p/src/a.py.secret", "/p/src/.env", "/p/src/a.p"]
)
def test_another_file_is_another_file(seen):
    assert edited(seen) == ["unreported file"]
    assert edited(seen, "src/a.py") == ["unreported file"]


def test_a_name_alone_is_no_editors_dot():
    assert edited("/p/.env", "/p/env") == ["unreported file"]


def test_the_address_of_a_stated_name_may_be_asked_for_at_any_time():
    story = Story(SUPPORT).see("mail.internal", kind="dns").ask().see("api.internal", kind="dns").tick(60)
    assert story.see("mail.internal", kind="dns").end().tick(60).gaps == []
    assert Story(RESEARCH).ask().see("gist.github.com", kind="dns").end().kinds == ["unreported name lookup"]


def test_runs_that_are_over_are_not_waited_for():
    ledger, now = Ledger("support"), 1000.0
    for number in range(20_000):
        ledger.note(End(run_id=f"r{number}", at=now), now)
        now += 0.05
        ledger.wake(now)
    assert len(ledger._due) <= 2048
