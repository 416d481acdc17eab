"""What an act comes to, and how what was told and what was seen of it agree."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kaizen_security.contract.action import Action
from kaizen_security.contract.verdict import Decision, Verdict
from kaizen_security.runtime.joining import ELSEWHERE, NO_CALL
from kaizen_security.server.acts import Joined, act
from tests.unit.console.rows import UNDECLARED, row

ALLOWED = Verdict(decision=Decision.ALLOW, reason="ok")
FLAGGED = replace(ALLOWED, evidence=(UNDECLARED,))
BLOCKED = replace(ALLOWED, decision=Decision.BLOCK)


def of(id_: str, source: str, verdict: Verdict = ALLOWED, note: str = "", **more: str):
    action = Action(
        id=id_, act_id="act", agent="a", metadata={"source": source}, target=more.pop("target", "x.example:1"), **more
    )
    return row(id_, action=action, verdict=replace(verdict, notes=(note,) if note else ()))


@pytest.mark.parametrize(
    ("rows", "watched", "joined"),
    [
        ([of("1", "sdk")], False, Joined.CALL),
        ([of("1", "sdk")], True, Joined.NO_EFFECT),
        ([of("1", "sdk", BLOCKED)], True, Joined.CALL),
        ([of("1", "sdk", target="")], True, Joined.CALL),
        ([of("1", "sdk", kind="file", target="/etc/hosts")], True, Joined.CALL),
        ([of("1", "sdk", kind="exec", target="ls")], True, Joined.CALL),
        ([of("1", "ebpf")], True, Joined.EFFECT),
        ([of("1", "egress"), of("2", "ebpf")], True, Joined.EFFECT),
        ([of("1", "sdk"), of("2", "ebpf")], True, Joined.BOTH),
        ([of("1", "mcp"), of("2", "egress")], True, Joined.BOTH),
        ([of("1", "egress", note=NO_CALL)], True, Joined.NO_CALL),
        ([of("1", "egress", note=ELSEWHERE)], True, Joined.ELSEWHERE),
        ([of("1", "sdk"), of("2", "egress", note=ELSEWHERE)], True, Joined.ELSEWHERE),
        # A note of what was not known then: a call that was told later explains it.
        ([of("1", "sdk"), of("2", "egress", note=NO_CALL)], True, Joined.BOTH),
    ],
)
def test_how_the_told_and_the_seen_agree(rows, watched: bool, joined: Joined):
    found = act(rows, watched=watched)
    assert found.joined is joined
    assert found.joined.means.endswith(".")


def test_what_was_blocked_leads_then_what_was_flagged_then_who_saw_deepest_then_the_newest():
    rows = [of("5", "egress"), of("4", "ebpf"), of("3", "sdk", FLAGGED), of("2", "sdk", BLOCKED), of("1", "mcp")]
    assert act(rows).lead.id == "2"
    assert act(rows[:3]).lead.id == "3"
    assert act(rows[:2]).lead.id == "4"
    assert act([of("7", "egress"), of("6", "egress")]).lead.id == "7"
    assert act(rows).deepest.id == "4"


def test_an_effect_is_shown_with_the_tool_that_was_told():
    call, effect = of("1", "sdk", tool="fetch_page"), of("2", "ebpf")
    assert act([effect, call]).told is call
    assert act([effect]).told is None
    assert act([call]).told is None
    assert act([effect, of("1", "sdk", FLAGGED, tool="fetch_page")]).told is None, "the call itself leads"
