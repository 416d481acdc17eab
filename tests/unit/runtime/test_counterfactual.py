"""What other rules would change of recorded verdicts: over retained facts, and by replaying twice."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from kaizen_security.contract import reasons
from kaizen_security.contract.action import Action
from kaizen_security.contract.boundary import boundary_key, outward, outward_verdict
from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.codec import encode_action, encode_finding, encode_verdict
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.errors import InvalidInput, Misconfigured
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.policy import Policy
from kaizen_security.contract.score import Score, encode_score
from kaizen_security.contract.verdict import Decision, Mode, Verdict
from kaizen_security.observer.baseline import Baseline, features
from kaizen_security.runtime.agents import Agents
from kaizen_security.runtime.counterfactual import Alternative, Change, Counterfactual, FactsJudge, Point
from kaizen_security.runtime.difference import Difference
from kaizen_security.runtime.inspector import Inspector
from kaizen_security.runtime.retained import Joining, Retained, Share, retained, rows_of

KEY = boundary_key(b"sixteen bytes and more")
NOTHING = Bundle(agent="", version=1)
BLOCKLIST = (Policy("blocklist", {"domains": ["attacker.example"], "skill_patterns": ["drop_.*"]}, "list"),)
SEQUENCE = (Policy("correlation", {"risky_sequence": "read_then_connect"}, "no secrets out"),)
ALLOWED = Verdict(Decision.ALLOW, "no policy matched")
TOOLS = ("search", "drop_table", "send_mail", "x" * 300)
TARGETS = ("api.example:443", "https://drop.attacker.example/a?q=1", "the second drawer", "203.0.113.9:22", "")


def row(action, verdict=ALLOWED, **more):
    """A row of ``GET /v1/verdicts``."""
    return {
        "id": more.pop("id", "r1"),
        "created_at": "2030-01-01T00:00:00Z",
        "agent": action.agent,
        "action": encode_action(action),
        "decision": verdict.decision.value,
        "reason": verdict.reason,
        "evidence": [encode_finding(one) for one in verdict.evidence],
        **more,
    }


def compared(documents, **alternative):
    one = Counterfactual(Alternative(**alternative), NOTHING)
    found = [done for document in documents for done in one.take(document)]
    return [*found, *one.rest()]


def changes(documents, **alternative):
    return [one.change for one in compared(documents, **alternative)]


# --- policy -------------------------------------------------------------------------------------------------------------------


def test_a_new_list_blocks_what_was_let_through_and_says_by_which_entry():
    (one,) = compared([row(Action(tool="get", target="https://drop.attacker.example/"))], policies=BLOCKLIST)
    assert one.change is Change.NEWLY_BLOCKED
    assert one.after.reason == "blocked by policy: malicious domain"
    assert "attacker.example" in one.after.evidence[0].expected
    assert one.before == ALLOWED


def test_without_the_list_what_it_blocked_is_let_through():
    verdict = Inspector().inspect(Action(tool="get"))
    blocked = replace(verdict, decision=Decision.BLOCK, reason="blocked by policy: malicious domain", evidence=())
    assert changes([row(Action(target="attacker.example:443"), blocked)], policies=()) == [Change.NEWLY_ALLOWED]


def test_a_deployed_clients_finding_that_names_no_detection_is_known_for_a_policys():
    said = Verdict(Decision.BLOCK, "blocked by policy: x", (Finding("malicious domain", "a.example", "policy"),))
    assert changes([row(Action(target="a.example"), said)], policies=()) == [Change.NEWLY_ALLOWED]


def test_what_another_detection_found_stands_beside_a_new_policy():
    said = Verdict(
        Decision.ALLOW, "undeclared: …", (Finding("undeclared tool", "search", "declaration", detection="declaration"),)
    )
    (one,) = compared([row(Action(tool="search"), said)], policies=BLOCKLIST)
    assert one.change is Change.SAME
    assert one.after == one.before


def test_a_read_and_then_a_connection_of_one_run_are_a_sequence_only_in_that_run():
    read = Action(kind="file", target="/srv/pay", run_id="a", id="1", metadata={"sensitive": True})
    out = Action(kind="connect", target="api.example:443", run_id="a", id="2")
    other = replace(out, run_id="b", id="3")
    found = changes([row(read), row(out), row(other)], policies=SEQUENCE)
    assert found == [Change.SAME, Change.NEWLY_BLOCKED, Change.SAME]


def test_an_answer_of_the_api_is_taken_oldest_first():
    read = Action(kind="file", target="/srv/pay", run_id="a", id="1", metadata={"sensitive": True})
    out = Action(kind="connect", target="api.example:443", run_id="a", id="2")
    assert changes([{"verdicts": [row(out), row(read)]}], policies=SEQUENCE) == [Change.SAME, Change.NEWLY_BLOCKED]


@pytest.mark.parametrize(
    ("action", "policy", "missing"),
    [
        (Action(tool="x" * 300), Policy("blocklist", {"skill_patterns": ["xx.*"]}), ("tool",)),
        (Action(tool="x" * 300), Policy("allowlist", {"tools": ["search"]}), ("tool",)),
        (Action(target="the second drawer on the left"), Policy("blocklist", {"domains": ["a.example"]}), ("target",)),
        (Action(hash="secret words, no digest"), Policy("blocklist", {"hashes": ["ab" * 32]}), ("hash",)),
    ],
)
def test_where_a_hash_stands_for_what_the_policy_looks_at_nobody_can_tell(action, policy, missing):
    (one,) = compared([row(outward(action, KEY))], policies=(policy,))
    assert one.change is Change.CANNOT_TELL
    assert one.missing == missing


def test_a_hash_in_a_field_that_the_policy_does_not_look_at_does_no_harm():
    long = outward(Action(tool="x" * 300, target="a.example:443"), KEY)
    assert changes([row(long)], policies=(Policy("blocklist", {"domains": ["b.example"]}),)) == [Change.SAME]
    found = changes([row(long)], policies=(Policy("blocklist", {"domains": ["a.example"], "skill_patterns": ["y"]}),))
    assert found == [Change.NEWLY_BLOCKED], "what is known blocks, whatever is not known"


def test_a_block_whose_cause_was_not_kept_cannot_be_judged_again_but_one_that_nobody_answered_stays():
    unknown = Verdict(Decision.BLOCK, "because")
    assert changes([row(Action(tool="a"), unknown)], policies=()) == [Change.CANNOT_TELL]
    closed = Verdict(Decision.BLOCK, "engine error, failed closed")
    assert changes([row(Action(tool="a"), closed)], policies=()) == [Change.SAME]
    assert changes([row(Action(tool="a"), closed)], mode=Mode.OBSERVE) == [Change.CANNOT_TELL]


def test_a_rule_that_cannot_be_used_is_said_at_once():
    with pytest.raises(Misconfigured, match="skill_patterns"):
        FactsJudge(Alternative(policies=(Policy("blocklist", {"skill_patterns": ["("]}, "bad"),)))


# --- declaration, mode, baseline --------------------------------------------------------------------------------------


def test_another_declaration_flags_and_in_enforce_mode_blocks():
    kept = [row(Action(tool="search")), row(Action(tool="upload", id="2"))]
    narrow = Declaration(tools=("search",))
    assert changes(kept, declaration=narrow) == [Change.SAME, Change.NEWLY_FLAGGED]
    assert changes(kept, declaration=narrow, mode=Mode.ENFORCE) == [Change.SAME, Change.NEWLY_BLOCKED]


def test_the_mode_is_what_the_rows_tell_and_what_they_do_not_tell_is_said():
    undeclared = (Finding("undeclared tool", "a", "declaration", detection="declaration"),)
    enforced = row(Action(tool="a", agent="strict"), Verdict(Decision.BLOCK, "undeclared: …", undeclared), id="1")
    judge = FactsJudge(Alternative(declaration=Declaration(tools=("search",))))
    found = [judge.judge(retained(one)) for one in (enforced, row(Action(tool="b", agent="strict")))]
    assert [one.change for one in found] == [Change.SAME, Change.NEWLY_BLOCKED]
    assert judge.assumed == set()
    assert judge.judge(retained(row(Action(tool="b", agent="new")))).change is Change.NEWLY_FLAGGED
    assert judge.assumed == {"new"}


def test_observe_lets_through_what_enforce_blocked():
    undeclared = (Finding("undeclared tool", "a", "declaration", detection="declaration"),)
    kept = [row(Action(tool="a"), Verdict(Decision.BLOCK, "undeclared: …", undeclared))]
    assert changes(kept, mode=Mode.OBSERVE) == [Change.NEWLY_ALLOWED]
    allowed = [row(Action(tool="a"), Verdict(Decision.ALLOW, "undeclared: …", undeclared))]
    assert changes(allowed, mode=Mode.ENFORCE) == [Change.NEWLY_BLOCKED]


def test_another_baseline_judges_names_again_and_says_where_values_would_be_needed():
    baseline = Baseline()
    for _ in range(300):
        baseline.learn(features(Action(tool="search", target="api.example:443")))
    facts = {"source": "sdk", "facts": [{"field": "arguments.q", "type": "text", "length": 3, "hmac": "0" * 16}]}
    kept = [
        row(Action(tool="search", target="api.example:443", id="1")),
        row(Action(tool="wire", target="api.example:443", id="2")),
        row(Action(tool="search", target="api.example:443", id="3", run_id="r", metadata=facts)),
    ]
    found = compared(kept, baseline=baseline)
    assert [one.change for one in found] == [Change.SAME, Change.NEWLY_FLAGGED, Change.CANNOT_TELL]
    assert found[2].missing == ("values of the call",)


# --- the law: what can be told over facts is what a full judgement says -------------------------------------------------


def mixed(seed, count=150):
    chance = random.Random(seed)
    for n in range(count):
        yield Action(
            kind=chance.choice(["tool_call", "connect", "file", "http"]),
            tool=chance.choice(["", *TOOLS]),
            publisher=chance.choice(["", "acme", "p" * 300]),
            target=chance.choice(TARGETS),
            metadata={"sensitive": True} if chance.random() < 0.2 else {},
            run_id=chance.choice(["", "r1", "r2"]),
            id=f"i{n}",
            agent=chance.choice(["a", "b"]),
        )


def judged(actions, bundle):
    inspector = Inspector(Agents(learning=False), clock=lambda: 1.0)
    for agent in ("a", "b"):
        inspector.configure(agent, replace(bundle, agent=agent))
    return [inspector.observe(action) for action in actions]


RULES = (
    {},
    {"policies": BLOCKLIST},
    {"policies": SEQUENCE},
    {"policies": (*BLOCKLIST, *SEQUENCE, Policy("allowlist", {"publishers": ["acme"]}, "known"))},
    {"policies": (Policy("blocklist", {"ips": ["203.0.113.0/24"]}),), "mode": Mode.ENFORCE},
    {"declaration": Declaration(tools=("search",), destinations=("api.example",)), "mode": Mode.ENFORCE},
)


@pytest.mark.parametrize("before", range(len(RULES)))
@pytest.mark.parametrize("after", range(len(RULES)))
def test_over_facts_the_verdict_is_that_of_a_full_judgement_or_nobody_can_tell(before, after):
    actions = list(mixed(before * 10 + after))
    was = judged(actions, replace(NOTHING, **RULES[before]))
    would = judged(actions, replace(NOTHING, **RULES[after]))
    rules = {"policies": (), "declaration": Declaration(), "mode": Mode.OBSERVE} | RULES[after]
    kept = [
        row(outward(action, KEY), outward_verdict(verdict, KEY)) for action, verdict in zip(actions, was, strict=True)
    ]
    found = compared(kept, **rules)
    assert len(found) == len(actions)
    told = 0
    for one, wanted in zip(found, would, strict=True):
        if one.change is Change.CANNOT_TELL:
            assert one.missing
            continue
        told += 1
        assert one.after.blocked == wanted.blocked, one
        if not wanted.blocked:
            assert one.after.flagged == wanted.flagged, one
    assert told > len(actions) / 3


def test_the_rules_that_held_change_nothing():
    actions = [one for one in mixed(7) if len(one.tool) + len(one.publisher) < 256]
    was = judged(actions, replace(NOTHING, policies=BLOCKLIST))
    kept = [row(action, verdict) for action, verdict in zip(actions, was, strict=True)]
    assert set(changes(kept, policies=BLOCKLIST)) == {Change.SAME}


# --- other lines ---------------------------------------------------------------------------------------------------------


def test_lines_without_a_verdict_are_judged_twice():
    found = compared([{"tool": "search"}, {"tool": "drop_table"}, {"step": "end", "run_id": "r"}], policies=BLOCKLIST)
    assert [one.change for one in found] == [Change.SAME, Change.NEWLY_BLOCKED]


def test_a_recorded_run_is_judged_twice_from_request_to_end():
    steps = [{"role": "call", "tool": "drop_table", "args": {}}, {"role": "result", "tool": "drop_table"}]
    run = {"id": "r", "agent": "db", "user_task": "tidy up", "steps": steps, "label": "benign"}
    (one,) = compared([run], policies=BLOCKLIST)
    assert (one.change, one.action.agent) == (Change.NEWLY_BLOCKED, "db")


def test_the_body_of_a_webhook_is_a_row_without_findings():
    body = {
        "event": "verdict.block",
        "data": {"agent": "a", "reason": "blocked by policy: malicious domain", "action": {"target": "a.example"}},
    }
    assert changes([body], policies=()) == [Change.NEWLY_ALLOWED]
    assert changes([body | {"event": "anomaly"}], policies=BLOCKLIST) == [Change.SAME]


@pytest.mark.parametrize(
    "document", [{"verdicts": 7}, {"verdicts": [7]}, {"event": 7, "data": {}}, {"decision": "maybe", "action": {}}, []]
)
def test_what_is_no_row_is_refused(document):
    with pytest.raises(InvalidInput):
        compared([document], policies=())


def test_claim_and_observers_verdict_on_one_action_come_together():
    undeclared = Verdict(Decision.ALLOW, "undeclared: …", (Finding("undeclared tool", "a", detection="declaration"),))
    documents = [
        row(Action(tool="a", id="x")),
        row(Action(tool="b", id="y")),
        row(Action(tool="a", id="x"), undeclared),
    ]
    first, second = compared(documents, declaration=Declaration())
    assert first.change is Change.NO_LONGER_FLAGGED
    assert second.change is Change.SAME


@pytest.mark.parametrize("ending", [reasons.JUDGED, reasons.ANSWERED])
def test_what_a_model_raised_afterwards_is_no_other_action_and_other_rules_do_not_take_it_back(ending):
    undeclared = Finding("undeclared tool", "a", detection="declaration", field="tool")
    judged = Finding("judged malicious", "a", "reasoning", detection="reasoning", field="tool")
    raised = Verdict(Decision.BLOCK, "reasoning judge (malicious, confidence 0.6): It leaves.", (undeclared, judged))
    documents = [
        row(Action(tool="a", id="x"), Verdict(Decision.BLOCK, "undeclared: …", (undeclared,))),
        row(Action(tool="a", id="x" + ending), raised),
    ]
    (same,) = compared(documents, mode=Mode.ENFORCE)
    assert (same.change, same.action.id) == (Change.SAME, "x")
    (declared,) = compared(documents, mode=Mode.ENFORCE, declaration=Declaration(tools=("a",)))
    assert (declared.after.blocked, [one.detection for one in declared.after.evidence]) == (True, ["reasoning"])


def test_only_so_many_actions_wait_for_further_rows():
    joining = Joining(window=2)
    given = [joining.add(Retained(action=Action(id=name), verdict=ALLOWED)) for name in "abca"]
    assert [one.action.id if one else None for one in given] == [None, None, "a", "b"]
    assert [one.action.id for one in joining.rest()] == ["c", "a"]


def test_shares_take_every_line_once_and_all_of_an_agent():
    documents = [row(Action(agent=f"agent-{n % 7}", id=str(n))) for n in range(50)]
    shares = [Share(turn, 3) for turn in range(3)]
    assert [sum(share.has(one) for share in shares) for one in documents] == [1] * 50
    assert [one["action"]["id"] for one in rows_of({"verdicts": documents[:2]})] == ["1", "0"]
    assert len({next(s.turn for s in shares if s.has(one)) for one in documents if one["agent"] == "agent-3"}) == 1


# --- counted and grouped ---------------------------------------------------------------------------------------------------


def difference(documents, **alternative):
    counted = Difference()
    for place, one in enumerate(compared(documents, **alternative)):
        counted.add(one, place)
    return counted


def test_changes_are_grouped_by_agent_tool_and_destination_with_an_example():
    bad = [row(Action(tool="get", target=f"https://x.attacker.example/{n}", id=str(n)), id=f"r{n}") for n in range(3)]
    counted = difference([*bad, row(Action(tool="search", id="9"))], policies=BLOCKLIST)
    (group,) = counted.groups(Change.NEWLY_BLOCKED)
    assert (group.agent, group.tool, group.destination, group.count) == ("default", "get", "x.attacker.example", 3)
    assert group.example.row == "r0"
    document = counted.to_json()
    assert document["changes"]["newly blocked"] == counted.changed == 3
    assert document["groups"][0]["example"]["after"]["reason"] == "blocked by policy: malicious domain"


def test_counted_apart_and_brought_together_it_is_the_same():
    documents = [row(Action(tool=f"drop_{n % 3}", agent=f"agent-{n % 5}", id=str(n)), id=f"r{n}") for n in range(40)]
    whole = difference(documents, policies=BLOCKLIST)
    parts = Difference()
    for turn in range(3):
        one = Counterfactual(Alternative(policies=BLOCKLIST), NOTHING, share=Share(turn, 3))
        part = Difference()
        for done in [*(done for document in documents for done in one.take(document)), *one.rest()]:
            part.add(done, documents.index(row(done.action, id=done.row)))
        parts.merge(part)
    assert parts.to_json() == whole.to_json()


def test_too_many_groups_are_counted(monkeypatch):
    monkeypatch.setattr("kaizen_security.runtime.difference.MAX_GROUPS", 2)
    counted = difference([row(Action(tool=f"drop_{n}", id=str(n))) for n in range(5)], policies=BLOCKLIST)
    assert len(list(counted.groups(Change.NEWLY_BLOCKED))) == 2
    assert counted.to_json()["actions_of_further_groups"] == {"newly blocked": 3}


def test_a_report_with_its_verdict_is_compared_with_it():
    report = {"schema_version": "1", "agent": "a", "action": {"tool": "drop_x"}, "verdict": encode_verdict(ALLOWED)}
    assert changes([report], policies=BLOCKLIST) == [Change.NEWLY_BLOCKED]


# --- another operating point -------------------------------------------------------------------------------------------------


def scored(value, **more):
    verdict = Verdict(Decision.ALLOW, "no policy matched", score=Score(**{"value": value, "threshold": 2.0, **more}))
    return row(Action(tool="pay", run_id="r", id=str(value)), verdict, score=encode_score(verdict.score))


def test_at_a_lower_operating_point_what_nearly_spoke_is_flagged_and_as_what():
    kept = [scored(1.5, steered=True), scored(1.6, steered=False), scored(0.5)]
    found = compared(kept, point=Point(1.0))
    assert [one.change for one in found] == [Change.NEWLY_FLAGGED, Change.NEWLY_FLAGGED, Change.SAME]
    assert [one.after.evidence[0].detection for one in found[:2]] == ["provenance", "alignment"]
    assert changes(kept, point=Point(-0.2, relative=True)) == [Change.SAME, Change.SAME, Change.SAME]
    assert changes(kept, point=Point(-0.45, relative=True)) == [Change.SAME, Change.NEWLY_FLAGGED, Change.SAME]


def test_at_a_higher_one_what_spoke_is_silent():
    said = (Finding("value of untrusted origin", "~0", "baseline", detection="provenance"),)
    verdict = Verdict(Decision.ALLOW, "provenance: …", said, score=Score(value=2.5, threshold=2.0, steered=True))
    kept = [row(Action(tool="pay", run_id="r", id="1"), verdict, score=encode_score(verdict.score))]
    assert changes(kept, point=Point(3.0)) == [Change.NO_LONGER_FLAGGED]
    assert changes(kept, point=Point(2.4)) == [Change.SAME]
    assert changes(kept, point=Point(2.4), mode=Mode.ENFORCE) == [Change.NEWLY_BLOCKED]


def test_what_could_not_speak_however_high_and_what_is_not_calibrated_stay_silent():
    assert changes([scored(9.0, threshold=None)], point=Point(1.0)) == [Change.SAME]


def test_without_the_score_nobody_can_tell_unless_no_values_were_there_to_score():
    facts = {"facts": [{"field": "arguments.q", "type": "text", "length": 3, "hmac": "0" * 16}]}
    unknown, nothing = Action(tool="pay", run_id="r", metadata=facts), Action(tool="pay", run_id="r", id="2")
    (one, other) = compared([row(unknown), row(nothing)], point=Point(1.0))
    assert (one.change, one.missing) == (Change.CANNOT_TELL, ("score",))
    assert other.change is Change.SAME


def test_a_finding_that_blocks_always_blocks_whatever_else_changes():
    secret = (Finding("credential", "~0", "secrets", detection="secrets"),)
    kept = [row(Action(tool="post"), Verdict(Decision.BLOCK, "secrets: …", secret))]
    assert changes(kept, policies=()) == [Change.SAME]


def test_what_a_person_released_stays_released_and_tells_the_mode():
    said = (Finding("undeclared tool", "a", "declaration", detection="declaration"),)
    released = Verdict(Decision.ALLOW, "undeclared: …", said, notes=("released once by a person",))
    other = row(Action(tool="b", id="2"))
    kept = [row(Action(tool="a", id="1"), released, notes=list(released.notes)), other]
    assert changes(kept, declaration=Declaration(tools=("c",))) == [Change.SAME, Change.NEWLY_BLOCKED]
