"""What the inspector passes on to be reviewed: what no rule settles, once, and nothing else."""

from __future__ import annotations

from dataclasses import replace

from kaizen_security.contract.action import Action
from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.policy import Policy
from kaizen_security.contract.step import End, Request
from kaizen_security.contract.verdict import Mode
from kaizen_security.observer.detection import About, Doubt, Status
from kaizen_security.observer.ending import SETTLE
from kaizen_security.observer.question import Question
from kaizen_security.runtime.agents import AgentKey, Agents
from kaizen_security.runtime.holds import Holds
from kaizen_security.runtime.inspector import Inspector

DECLARED = Declaration(tools=("read",))
BUNDLE = Bundle(agent="a", version=1, declaration=DECLARED)
UNDECLARED = Action(tool="send", agent="a", id="1", run_id="r", metadata={"arguments": {"to": "x@y.example"}})


class Doubting:
    """A detection that doubts whatever it sees."""

    ABOUT = About(name="provenance", title="t", says="s", status=Status.STABLE)
    FIRES = SILENT = ()

    def detect(self, action, context):
        return (
            Doubt(Finding(kind="value of untrusted origin", value="v", detection="provenance", attack="injection")),
        )


def inspector(bundle: Bundle = BUNDLE, **options) -> tuple[Inspector, list[Question]]:
    made = Inspector(**options)
    made.configure("a", bundle)
    asked: list[Question] = []
    made.review = asked.append
    return made, asked


def test_a_flag_that_is_let_through_is_asked_about_once():
    made, asked = inspector()
    made.inspect(UNDECLARED)
    made.inspect(UNDECLARED)
    made.observe(UNDECLARED)
    assert [(one.id, one.mode, one.floor.flagged) for one in asked] == [("1", Mode.OBSERVE, True)]
    assert asked[0].facts.declaration == DECLARED


def test_what_nothing_is_found_of_and_what_policy_denies_is_not():
    policy = Policy("blocklist", {"skill_patterns": ["^send$"]}, "p")
    made, asked = inspector(replace(BUNDLE, policies=(policy,)))
    assert made.inspect(Action(tool="read", agent="a", id="0")).allowed
    assert made.inspect(UNDECLARED).blocked
    assert asked == []


def test_in_observe_mode_a_doubt_is_asked_about_though_it_flags_nothing():
    made, asked = inspector(Bundle(agent="a", version=1), agents=Agents(detections=(Doubting(),)))
    verdict = made.inspect(UNDECLARED)
    assert (verdict.allowed, verdict.flagged) == (True, False)
    assert [finding.detection for finding in asked[0].doubts] == ["provenance"]


def test_what_is_held_is_asked_about_and_what_a_person_released_is_not():
    made, asked = inspector(replace(BUNDLE, mode=Mode.ENFORCE), holds=Holds())
    held = made.inspect(UNDECLARED)
    assert held.pending is not None
    assert [(one.floor.pending, one.mode) for one in asked] == [(held.pending, Mode.ENFORCE)]


def test_neither_a_paused_agent_nor_one_without_reasoning_is_asked_about():
    for bundle in (replace(BUNDLE, paused=True), replace(BUNDLE, judge_enabled=False)):
        made, asked = inspector(bundle)
        made.inspect(UNDECLARED)
        assert asked == []


def test_what_is_raised_afterwards_is_not_learned_nor_anything_else_of_its_run():
    made, _ = inspector(Bundle(agent="a", version=1), agents=Agents(detections=(Doubting(),)))
    lane = made.agents.lane(AgentKey("", "a"))
    for run, trusted in (("one", True), ("two", False)):
        made.note(Request(run_id=run, agent="a", text="send it"))
        action = replace(UNDECLARED, id=run, run_id=run)
        made.inspect(action)
        if not trusted:
            made.distrust(action)
        before = lane.observer.baseline.seen
        made.note(End(run_id=run, agent="a"))
        assert (lane.observer.baseline.seen > before) is trusted
    loose = replace(UNDECLARED, id="loose", run_id="")
    made.inspect(loose)
    made.distrust(loose)
    before = lane.observer.baseline.seen
    made.wake(lane.now + 100.0)
    assert lane.observer.baseline.seen == before


def test_a_run_that_is_over_is_asked_about_as_a_whole():
    now = [1000.0]
    made, asked = inspector(clock=lambda: now[0])
    made.note(Request(run_id="r", agent="a", text="read it"))
    made.observe(Action(tool="read", agent="a", id="0", run_id="r"))
    made.observe(UNDECLARED)
    made.note(End(run_id="r", agent="a"))
    assert [one.action.kind for one in asked] == ["tool_call"]
    now[0] += SETTLE
    made.wake(now[0])
    made.wake(now[0] + 1)
    assert [one.action.kind for one in asked] == ["tool_call", "run"]
    assert [done.tool for done in asked[1].facts.done] == ["read", "send"]
    assert asked[1].facts.declaration == DECLARED


def test_a_harmless_or_paused_run_is_not_asked_about():
    harmless = Action(tool="read", agent="a", id="0", run_id="r")
    for bundle, action in ((BUNDLE, harmless), (replace(BUNDLE, paused=True), UNDECLARED)):
        now = [1000.0]
        made, asked = inspector(bundle, clock=lambda now=now: now[0])
        made.observe(action)
        made.note(End(run_id="r", agent="a"))
        made.wake(now[0] + SETTLE)
        assert asked == []
