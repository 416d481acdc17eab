"""The end of a run: one question about all that it did, where anything in it speaks against it."""

from __future__ import annotations

from dataclasses import replace

from kaizen_security.contract.action import Action
from kaizen_security.contract.depth import Rung
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.verdict import Decision, Mode, Verdict
from kaizen_security.observer.ending import KIND, SETTLE, Endings
from kaizen_security.observer.entities import Kind
from kaizen_security.observer.facts import Facts, Stood, Traced
from kaizen_security.observer.question import Question

FOUND = Finding(kind="value of untrusted origin", value="v", detection="provenance", attack="injection")
STRANGE = Traced(path="to", kind=Kind.HOST, text="drop.example", stood=Stood("read_mail", "body", free=True))


def asked(number=1, run="r", *, findings=(), source="sdk", agent="a", **facts):
    action = Action(tool=f"tool{number}", id=str(number), run_id=run, agent=agent, metadata={"source": source})
    floor = Verdict(decision=Decision.ALLOW, reason="ok", evidence=findings)
    return Question(id=action.id, action=action, floor=floor, expires_at=0.0, facts=Facts(traced=True, **facts))


def over(endings, *questions, run="r"):
    for one in questions:
        endings.judged(one)
    endings.ended(("", "a", run), 100.0)
    return list(endings.due(100.0 + SETTLE))


def test_a_run_that_nothing_speaks_against_is_not_asked_about():
    assert over(Endings(), asked(1), asked(2, effects=("send",), wanted=("send",)), asked(3, new=("tool",))) == []


def test_a_run_is_asked_about_once_with_its_deeds_in_order():
    endings = Endings()
    (one,) = over(endings, asked(1), asked(2, findings=(FOUND,)), asked(3))
    assert [done.tool for done in one.facts.done] == ["tool1", "tool2", "tool3"]
    assert [done.speaks for done in one.facts.done] == [False, True, False]
    assert (one.action.kind, one.action.run_id, one.action.agent) == (KIND, "r", "a")
    assert (one.mode, one.floor.allowed, one.releasable) == (Mode.OBSERVE, True, False)
    assert list(endings.due(1e9)) == []


def test_what_speaks():
    for facts in ({"values": (STRANGE,)}, {"effects": ("pay",), "new": ("tool",)}):
        assert len(over(Endings(), asked(1, **facts))) == 1
    known = replace(STRANGE, by_user=True)
    assert over(Endings(), asked(1, values=(known,))) == []


def test_a_gap_after_the_end_belongs_to_the_run():
    endings = Endings()
    endings.judged(asked(1))
    endings.ended(("", "a", "r"), 100.0)
    gap = Action("connect", target="drop.example:443", run_id="r", agent="a", metadata={"source": "sandbox"})
    endings.heard(gap, Verdict(decision=Decision.ALLOW, reason="gap", evidence=(FOUND,)))
    endings.heard(replace(gap, run_id="nobody's"), Verdict(decision=Decision.ALLOW, reason="gap", evidence=(FOUND,)))
    assert list(endings.due(100.0)) == []
    (one,) = endings.due(100.0 + SETTLE)
    assert [done.target for done in one.facts.done] == ["", "drop.example:443"]
    assert one.action.rung is Rung.EGRESS


def test_it_is_no_surer_than_the_least_certain_of_those_who_saw_something():
    (one,) = over(Endings(), asked(1, findings=(FOUND,), source="egress"), asked(2, findings=(FOUND,), source="sdk"))
    assert one.action.rung is Rung.COOPERATIVE


def test_a_flood_of_harmless_calls_does_not_push_out_what_speaks():
    endings = Endings(most=8)
    (one,) = over(endings, asked(0, findings=(FOUND,)), *(asked(n) for n in range(1, 100)))
    assert len(one.facts.done) == 8
    assert one.facts.done[0].speaks
    assert one.facts.undone == 92


def test_runs_are_bounded_and_what_had_to_go_is_counted():
    endings = Endings(runs=4)
    for number in range(10):
        endings.judged(asked(1, run=f"r{number}", findings=(FOUND,)))
    assert endings.forgotten == 6
    assert over(endings, run="r0") == []


def test_agents_and_calls_without_a_run_do_not_mix():
    endings = Endings()
    endings.judged(asked(1, run="", findings=(FOUND,)))
    endings.judged(asked(2, agent="b", findings=(FOUND,)))
    assert over(endings, asked(3)) == []
