"""The state machine of held actions: what joins, what is released for whom, how long, and what a flood does."""

from __future__ import annotations

import pytest

from kaizen_security.contract import reasons
from kaizen_security.contract.action import Action
from kaizen_security.contract.hold import HoldAnswer, HoldState
from kaizen_security.contract.verdict import Decision, Verdict
from kaizen_security.observer.question import Answer, Question, Word
from kaizen_security.runtime import hold_table
from kaizen_security.runtime.agents import AgentKey
from kaizen_security.runtime.hold_table import AlreadySettled, HoldTable, NoRun, NoSuchHold

KEY = AgentKey("", "a")
FLOOR = Verdict(decision=Decision.BLOCK, reason="provenance: x")


def call(n=1, *, to="x", run="r", tool="pay"):
    return Action(tool=tool, id=f"c{n}", run_id=run, agent="a", metadata={"arguments": {"to": to}})


class Desk:
    """A table with a clock of its own and numbered ids."""

    def __init__(self):
        self.table = HoldTable()
        self.now = 1000.0
        self.ids = 0

    def ask(self, action, key=KEY):
        self.ids += 1
        question = Question(id=action.id, action=action, floor=FLOOR, expires_at=self.now + 300, releasable=True)
        return self.table.ask(key, question, self.now, f"h{self.ids}", 300.0)

    def say(self, hold_id, word, by="person"):
        return self.table.answer(hold_id, Answer(word=word, by=by), "ada", self.now)[0]


@pytest.fixture
def desk():
    return Desk()


def test_the_same_act_joins_whoever_tries_it_and_another_act_is_held_apart(desk):
    first = desk.ask(call(1)).pending
    assert (first.id, first.calls, first.expires_at, first.verdict) == ("h1", 1, 1300.0, FLOOR)
    assert desk.ask(call(1)).pending.calls == 1
    assert desk.ask(call(2, run="other")).pending == desk.table.get("h1")
    assert desk.table.get("h1").calls == 2
    assert desk.ask(call(3, to="y")).pending.id == "h4"
    assert desk.ask(call(4), AgentKey("", "b")).pending.id == "h5"
    assert desk.table.counts == {"placed": 3, "joined": 1}


def test_once_is_for_one_call_and_the_next_is_asked_about_again(desk):
    desk.ask(call(1))
    desk.ask(call(2))
    hold = desk.say("h1", Word.ALLOW_ONCE)
    assert (hold.state, hold.answer, hold.answered_by, hold.answered_at) == (
        HoldState.RELEASED,
        HoldAnswer.ALLOW_ONCE,
        "ada",
        1000.0,
    )
    assert desk.ask(call(2)).answer.word is Word.ALLOW_ONCE
    assert desk.ask(call(2)).answer.word is Word.ALLOW_ONCE
    assert desk.ask(call(1)).pending.id != "h1"


def test_a_release_waits_for_its_call_until_the_hold_would_have_expired_and_a_minute_at_least(desk):
    desk.ask(call(1))
    desk.now += 299
    desk.say("h1", Word.ALLOW_ONCE)
    desk.now += 59
    assert desk.ask(call(9)).answer
    other = Desk()
    other.ask(call(1))
    other.now += 299
    other.say("h1", Word.ALLOW_ONCE)
    other.now += 60
    assert other.ask(call(9)).pending


def test_for_this_run_is_for_no_other_run_and_ends_with_it(desk):
    desk.ask(call(1))
    desk.say("h1", Word.ALLOW_RUN)
    assert [desk.ask(call(n)).answer.word for n in (1, 2, 3)] == [Word.ALLOW_RUN] * 3
    assert desk.ask(call(4, run="other")).pending
    again = Desk()
    again.ask(call(1))
    again.say("h1", Word.ALLOW_RUN)
    again.table.end(KEY, "r", again.now)
    assert again.ask(call(2)).pending


def test_an_action_without_a_run_cannot_be_released_for_one(desk):
    desk.ask(call(1, run=""))
    with pytest.raises(NoRun, match="belongs to no run"):
        desk.say("h1", Word.ALLOW_RUN)
    assert desk.table.get("h1").waiting


@pytest.mark.parametrize(
    ("word", "by"), [(Word.BLOCK, "person"), (Word.MALICIOUS, "model"), (Word.SUSPICIOUS, "model")]
)
def test_what_was_blocked_is_answered_at_once_until_it_is_quiet_no_longer(desk, word, by):
    desk.ask(call(1))
    assert desk.say("h1", word, by).state is HoldState.BLOCKED
    for run in ("r", "other"):
        assert desk.ask(call(2, run=run)).answer.word is word
    desk.now += hold_table.QUIET
    assert desk.ask(call(3)).pending


def test_a_model_cannot_release(desk):
    desk.ask(call(1))
    for word in (Word.BENIGN, Word.ALLOW_ONCE, Word.ALLOW_RUN, Word.LEARN):
        with pytest.raises(KeyError):
            desk.say("h1", word, "model")
    assert desk.table.get("h1").waiting


def test_nobody_answers_and_it_is_blocked_and_asked_about_again_after_a_minute(desk):
    desk.ask(call(1))
    desk.now += 300
    desk.table.wake(desk.now)
    assert desk.table.get("h1").state is HoldState.EXPIRED
    ruling = desk.ask(call(2))
    assert (ruling.pending, ruling.answer, ruling.note) == (None, None, reasons.UNANSWERED)
    with pytest.raises(AlreadySettled, match="expired"):
        desk.say("h1", Word.ALLOW_ONCE)
    desk.now += hold_table.QUIET_EXPIRED
    assert desk.ask(call(3)).pending


def test_an_answer_that_comes_too_late_changes_nothing_though_nobody_woke_the_table(desk):
    desk.ask(call(1))
    desk.now += 300
    with pytest.raises(AlreadySettled, match="expired"):
        desk.say("h1", Word.ALLOW_ONCE)
    assert desk.ask(call(1)).note == reasons.UNANSWERED


def test_the_second_answer_is_refused_and_an_unknown_hold_too(desk):
    desk.ask(call(1))
    desk.say("h1", Word.BLOCK)
    with pytest.raises(AlreadySettled, match="blocked"):
        desk.say("h1", Word.ALLOW_ONCE)
    with pytest.raises(NoSuchHold):
        desk.say("h2", Word.BLOCK)


def test_who_was_told_no_three_times_about_a_tool_in_a_run_is_not_asked_a_fourth_time(desk):
    for n in range(hold_table.TIRED):
        desk.say(desk.ask(call(n, to=f"place {n}")).pending.id, Word.BLOCK)
    assert desk.ask(call(8, to="another")).note.startswith("not asked: 3 questions")
    assert desk.ask(call(9, to="another", run="other")).pending
    assert desk.ask(call(9, to="another", tool="send")).pending
    assert desk.table.counts["not asked"] == 1


def test_a_flood_of_questions_pushes_nothing_out_and_lets_nothing_through(desk, monkeypatch):
    monkeypatch.setattr(hold_table, "MOST_OF_AN_AGENT", 3)
    monkeypatch.setattr(hold_table, "MOST", 5)
    for n in range(10):
        ruling = desk.ask(call(n, to=str(n)))
        assert ruling.answer is None
        assert (ruling.pending is not None) == (n < 3)
    held = [desk.ask(call(n, to="z"), AgentKey("", f"agent {n}")).pending for n in range(4)]
    assert [bool(one) for one in held] == [True, True, False, False]
    assert desk.table.waiting == 5
    assert desk.table.counts["not asked"] == 9


def test_settled_holds_are_forgotten_oldest_first_and_waiting_ones_never(desk, monkeypatch):
    monkeypatch.setattr(hold_table, "SETTLED", 2)
    kept = desk.ask(call(0, to="waits")).pending
    ids = [desk.ask(call(n, to=f"t{n}", run=f"r{n}")).pending.id for n in range(1, 5)]
    for hold_id in ids:
        desk.say(hold_id, Word.BLOCK)
    assert [desk.table.get(one) is not None for one in (kept.id, *ids)] == [True, False, False, True, True]
    assert desk.table.listing(limit=1) == (desk.table.get(kept.id),)


def test_arguments_that_are_too_long_are_held_and_not_kept(desk, monkeypatch):
    monkeypatch.setattr(hold_table, "SHOWN_BYTES", 500)
    hold = desk.ask(call(1, to="y" * 600)).pending
    assert "arguments" not in hold.action.metadata
    assert hold.notes == ("its arguments are too long to be shown",)
    assert desk.ask(call(2, to="y" * 600)).pending.id == hold.id
    assert desk.ask(call(2, to="y" * 601)).pending.id != hold.id


def test_the_bytes_that_are_kept_of_all_are_bounded_and_given_back(desk, monkeypatch):
    monkeypatch.setattr(hold_table, "KEPT_BYTES", 1000)
    first = desk.ask(call(1, to="a" * 700)).pending
    assert "arguments" in first.action.metadata
    assert "arguments" not in desk.ask(call(2, to="b" * 700)).pending.action.metadata
    desk.say(first.id, Word.BLOCK)
    assert "arguments" in desk.ask(call(3, to="c" * 700)).pending.action.metadata


@pytest.mark.parametrize("word", [Word.ALLOW_ONCE, Word.ALLOW_RUN, Word.LEARN, Word.BLOCK])
def test_answers_hold_over_a_restart_as_long_as_they_would_have(desk, word):
    desk.ask(call(1))
    hold = desk.say("h1", word)
    again = Desk()
    again.table.restore(KEY, desk.table.kept("h1").act, hold, "", again.now)
    assert again.ask(call(1)).answer.word is word
    again.now += 3700
    assert again.ask(call(2)).pending


def test_a_release_that_was_used_up_before_a_restart_is_not_used_again(desk):
    desk.ask(call(1))
    hold = desk.say("h1", Word.ALLOW_ONCE)
    desk.ask(call(1))
    _, act, redeemed = desk.table.kept("h1")
    again = Desk()
    again.table.restore(KEY, act, hold, redeemed, again.now)
    assert again.ask(call(2)).pending
    assert redeemed == "c1"


def test_what_waited_before_a_restart_stands_for_its_run_whatever_is_said_of_it_now(desk):
    hold = desk.ask(call(1)).pending
    act = desk.table.kept("h1").act
    assert desk.table.standing(KEY, call(1)) is None
    again = Desk()
    again.table.restore(KEY, act, hold, "", again.now)
    assert again.table.standing(KEY, call(1)) == hold
    assert again.table.standing(KEY, call(1, run="other")) is None
    assert again.table.standing(KEY, call(1, to="y")) is None
    again.now += 301
    again.table.wake(again.now)
    assert again.table.standing(KEY, call(1)).state is HoldState.EXPIRED
    released = Desk()
    released.table.restore(KEY, act, hold, "", released.now)
    released.say("h1", Word.ALLOW_ONCE)
    assert released.table.standing(KEY, call(1)) is None


def test_a_question_of_a_run_that_is_over_is_withdrawn_unless_another_call_shares_it(desk):
    desk.ask(call(1, to="alone"))
    desk.ask(call(2, to="shared"))
    desk.ask(call(3, to="shared", run="other"))
    desk.table.end(KEY, "r", desk.now)
    states = {hold.action.metadata["arguments"]["to"]: hold for hold in desk.table.listing()}
    assert states["alone"].state is HoldState.EXPIRED
    assert states["alone"].notes == ("not asked any more: its run is over",)
    assert states["shared"].waiting
    assert desk.ask(call(4, to="alone")).pending


def test_a_call_that_was_given_up_takes_its_question_with_it_when_it_was_the_only_one(desk):
    desk.ask(call(1))
    desk.ask(call(2))
    desk.table.abandon(KEY, "c1", desk.now)
    assert desk.table.get("h1").waiting
    desk.table.abandon(AgentKey("", "another"), "c2", desk.now)
    assert desk.table.get("h1").waiting
    desk.table.abandon(KEY, "c2", desk.now)
    assert desk.table.get("h1").state is HoldState.EXPIRED


def test_a_question_that_new_rules_settle_is_withdrawn_and_one_from_before_a_restart_is_not(desk):
    hold = desk.ask(call(1)).pending
    again = Desk()
    again.table.restore(KEY, desk.table.kept("h1").act, hold, "", again.now)
    for one in (desk, again):
        one.table.withdraw(KEY, call(1), one.now)
    assert desk.table.get("h1").state is HoldState.EXPIRED
    assert again.table.get("h1").waiting
