"""Held actions on disk: what is kept, what is left out, what the disk does not take."""

from __future__ import annotations

import errno
import json
import os
import shutil
from dataclasses import replace

import pytest

from kaizen_security.contract.action import Action
from kaizen_security.contract.boundary import boundary_key
from kaizen_security.contract.hold import HoldState
from kaizen_security.contract.verdict import Decision, Verdict
from kaizen_security.observer.question import Answer, Question, Word
from kaizen_security.runtime.agents import AgentKey
from kaizen_security.runtime.holds import Holds
from kaizen_security.sidecar import hold_file
from kaizen_security.sidecar.hold_file import HoldFile

KEY = AgentKey("", "a")


class Kept:
    """Holds that are kept in a file, at a time of their own."""

    def __init__(self, path, now=1000.0):
        self.now = now
        self.holds = Holds(clock=lambda: self.now)
        self.file = HoldFile(path, self.holds, boundary_key(b"0" * 32))
        self.holds.on_change = lambda hold: self.file.keep(hold.id)
        self.file.load()

    def ask(self, n=1, run="r"):
        action = Action(tool="pay", id=f"c{n}", run_id=run, agent="a", metadata={"arguments": {"to": f"secret {n}"}})
        floor = Verdict(decision=Decision.BLOCK, reason="no")
        question = Question(id=action.id, action=action, floor=floor, expires_at=1300.0, releasable=True)
        return self.holds.ask(KEY, question, 300.0).pending

    def say(self, hold, word):
        return self.holds.answer(hold.id, Answer(word=word, by="person"), "ada")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "holds.jsonl"


def test_every_hold_comes_back_as_it_stood_last_and_without_text(path):
    first = Kept(path)
    waits, said = first.ask(1), first.ask(2)
    first.say(said, Word.BLOCK)
    assert "secret" not in path.read_text()
    again = Kept(path, now=1100.0)
    assert again.holds.get(waits.id).state is HoldState.WAITING
    assert again.holds.get(said.id).answered_by == "ada"
    assert again.ask(1).id == waits.id
    assert again.ask(2) is None


def test_one_whose_time_was_over_meanwhile_is_blocked_and_an_old_one_is_forgotten(path):
    first = Kept(path)
    hold = first.ask()
    assert Kept(path, now=1301.0).holds.get(hold.id).state is HoldState.EXPIRED
    assert Kept(path, now=9000.0).holds.get(hold.id) is None
    assert path.read_text() == ""


def test_a_broken_line_costs_itself_and_nothing_else(path):
    first = Kept(path)
    hold = first.ask()
    path.write_bytes(b'{"hold": {"id": "x"}}\n\xff\n' + path.read_bytes() + path.read_bytes()[:40])
    again = Kept(path)
    assert [one.id for one in again.holds.listing()] == [hold.id]


def test_on_a_full_disk_it_starts_with_what_was_held(path, monkeypatch):
    hold = Kept(path).ask()
    with monkeypatch.context() as full:

        def refused(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        full.setattr(hold_file, "write_whole", refused)
        again = Kept(path, now=1100.0)
    assert again.holds.get(hold.id).state is HoldState.WAITING
    again.say(hold, Word.BLOCK)
    assert Kept(path, now=1100.0).holds.get(hold.id).state is HoldState.BLOCKED


def test_a_line_that_the_disk_took_half_of_costs_no_further_one(path, monkeypatch):
    kept = Kept(path)
    first = kept.ask(1)
    with monkeypatch.context() as full:

        def half(file, *_, **__):
            os.write(file, b'{"act":"half')
            os.close(file)
            raise OSError(errno.ENOSPC, "No space left on device")

        full.setattr(hold_file.os, "fdopen", half)
        kept.ask(2)
    kept.say(first, Word.BLOCK)
    assert kept.file.lost == 1
    assert Kept(path, now=1100.0).holds.get(first.id).state is HoldState.BLOCKED


def test_the_file_is_written_anew_when_it_has_grown(path, monkeypatch):
    monkeypatch.setattr(hold_file, "MOST_LINES", 10)
    kept = Kept(path)
    hold = kept.ask()
    for n in range(100):
        kept.ask(1, run=f"{n}")
        kept.holds.note(hold.id, "x")
    lines = path.read_text().splitlines()
    assert len(lines) <= 11
    assert len(json.loads(lines[-1])["hold"]["notes"]) == 100


def test_a_disk_that_takes_nothing_is_counted_and_the_action_is_held_all_the_same(path, monkeypatch):
    kept = Kept(path)
    monkeypatch.setattr(hold_file, "MOST_LINES", 0)
    shutil.rmtree(path.parent)
    assert kept.ask()
    assert kept.file.lost == 1


def test_a_hold_that_is_forgotten_while_the_file_is_written_anew_is_left_out(path, monkeypatch):
    kept = Kept(path)
    hold = kept.ask(1)
    gone = replace(hold, id="gone")
    listing = kept.holds.listing
    monkeypatch.setattr(kept.holds, "listing", lambda **asked: (*listing(**asked), gone))
    monkeypatch.setattr(hold_file, "MOST_LINES", 0)
    waits = kept.ask(2)
    assert {json.loads(line)["hold"]["id"] for line in path.read_text().splitlines()} == {hold.id, waits.id}
