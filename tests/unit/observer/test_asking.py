"""What is asked about: in enforce mode, what the table lets a person release, and nothing that blocks for certain."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from kaizen_security.contract.action import Action
from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.policy import Policy
from kaizen_security.contract.verdict import Mode, Verdict
from kaizen_security.detections import BUILTIN
from kaizen_security.observer.baseline import Baseline
from kaizen_security.observer.detection import About, Doubt, Status
from kaizen_security.observer.observer import LIMITS, Observer
from kaizen_security.observer.question import Question
from kaizen_security.observer.rules import RulesMaker
from kaizen_security.observer.run import Limits
from kaizen_security.observer.score import Scored
from kaizen_security.observer.weigh import TABLE, Asks

FOUND = Finding(kind="odd", value="x", source="baseline", detection="provenance", field="tool")


def says(said, name="provenance", status=Status.STABLE):
    return SimpleNamespace(
        ABOUT=About(name=name, title="", says="", status=status), detect=lambda action, context: (said,)
    )


def observer(*detections, mode=Mode.ENFORCE, policies=(), declares=(), paused=False, baseline=None, limits=LIMITS):
    declaration = Declaration(tools=tuple(declares))
    bundle = Bundle(agent="a", version=1, policies=policies, declaration=declaration, mode=mode, paused=paused)
    return Observer(detections=detections, rules=RulesMaker().make(bundle), baseline=baseline, limits=limits)


PAY = Action(tool="pay", id="1", metadata={"arguments": {"to": "x"}})


def test_a_doubt_asks_in_enforce_and_is_nothing_in_observe():
    asked = observer(says(Doubt(FOUND))).assess(PAY, 10.0)
    assert isinstance(asked, Question)
    assert (asked.id, asked.action, asked.expires_at, asked.releasable) == ("1", PAY, 310.0, True)
    assert asked.floor.blocked
    assert asked.floor.evidence == (FOUND,)
    watched = observer(says(Doubt(FOUND)), mode=Mode.OBSERVE).weighed(PAY, 10.0)
    assert (watched.verdict.allowed, watched.verdict.flagged, watched.clean, watched.asks) == (True, False, True, False)


def test_what_is_found_for_certain_is_no_question():
    verdict = observer(says(FOUND)).assess(PAY, 10.0)
    assert isinstance(verdict, Verdict)
    assert verdict.blocked


@pytest.mark.parametrize("certain", ["policy", "correlation", "provenance"])
def test_a_certain_block_beside_a_doubt_is_no_question(certain):
    other = says(Finding(kind="k", value="v", source="s", detection=certain), certain)
    verdict = observer(says(Doubt(FOUND), "alignment"), other).assess(PAY, 10.0)
    assert isinstance(verdict, Verdict)
    assert verdict.blocked


def test_an_undeclared_tool_asks_and_a_policy_against_it_does_not():
    assert isinstance(observer(*BUILTIN, declares=("search",)).assess(PAY, 10.0), Question)
    policy = Policy("blocklist", {"skill_patterns": ["^pay$"]}, "no payments")
    denied = observer(*BUILTIN, declares=("search",), policies=(policy,)).assess(PAY, 10.0)
    assert isinstance(denied, Verdict)
    assert denied.blocked


@pytest.mark.parametrize(
    "quiet",
    [
        observer(says(Doubt(FOUND)), paused=True),
        observer(says(Doubt(FOUND), "novelty")),
        observer(says(Doubt(FOUND), status=Status.INCUBATING)),
        observer(says(Doubt(FOUND), status=Status.CANDIDATE)),
    ],
    ids=["paused", "a row that never asks", "incubating", "candidate"],
)
def test_a_doubt_that_may_not_ask_is_nothing(quiet):
    found = quiet.weighed(PAY, 10.0)
    assert (found.verdict.allowed, found.verdict.flagged, found.clean, found.counted) == (True, False, True, ())


def test_before_a_policy_has_come_nobody_is_asked():
    alone = Observer(detections=(says(Doubt(FOUND)),))
    assert isinstance(alone.assess(PAY, 10.0), Verdict)


def test_only_what_a_person_may_release_is_in_the_table_of_questions():
    asking = {name for name, weight in TABLE.items() if weight.asks is not Asks.NEVER}
    assert {"provenance", "alignment", "declaration"} <= asking
    assert not asking & {"policy", "correlation", "secrets", "taint", "tool_pins"}


def test_what_a_person_called_normal_is_not_asked_again_after_a_restart_but_still_found():
    first = observer(says(Doubt(FOUND)))
    first.fold([PAY])
    kept = Baseline.from_json(first.baseline.to_json())
    again = observer(says(Doubt(FOUND)), baseline=kept)
    assert again.assess(Action(tool="pay", id="9", run_id="other", metadata=PAY.metadata), 10.0).allowed
    assert isinstance(again.assess(Action(tool="pay", metadata={"arguments": {"to": "y"}}), 10.0), Question)
    certain = observer(says(FOUND), baseline=kept).assess(PAY, 10.0)
    assert certain.blocked


def scored(logit, *, threshold=2.0, asking=1.0):
    values = dict.fromkeys(Scored.__slots__)
    values |= {"logit": logit, "threshold": threshold, "asking": asking, "worst": None}
    return Scored(**values)


def test_the_band_lies_between_the_two_thresholds():
    assert [(one.asks, one.speaks) for one in map(scored, (0.5, 1.0, 1.5, 2.0, 2.5))] == [
        (False, False),
        (False, False),
        (True, False),
        (True, False),
        (False, True),
    ]
    uncalibrated = scored(9.0, threshold=None, asking=None)
    assert (uncalibrated.asks, uncalibrated.speaks) == (False, False)


def test_where_nobody_is_asked_a_doubt_passes_and_what_is_certain_blocks():
    nobody = Limits(hold=0.0)
    doubted = observer(says(Doubt(FOUND)), limits=nobody).assess(PAY, 10.0)
    assert (doubted.allowed, doubted.flagged) == (True, False)
    certain = observer(says(FOUND), limits=nobody).assess(PAY, 10.0)
    assert (certain.blocked, certain.pending) == (True, None)
