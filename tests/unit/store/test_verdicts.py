"""Verdict rows: kept once, found again, counted, and never another organisation's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kaizen_security.contract.action import Action
from kaizen_security.contract.codec import encode_action
from kaizen_security.contract.depth import Rung
from kaizen_security.contract.verdict import Decision, Severity
from kaizen_security.store import base
from kaizen_security.store.base import (
    Appended,
    Hour,
    LimitReached,
    NewVerdict,
    Origin,
    Status,
    Suppression,
    VerdictQuery,
)
from tests.unit.store.rows import DENIED, NOW, UNDECLARED, organisation, row


def test_a_row_comes_back_as_it_was_given(store):
    acme = organisation(store)
    action = Action(
        kind="http",
        tool="fetch",
        publisher="acme",
        target="https://api.example/x",
        hash="ab" * 32,
        id="a-1",
        run_id="r-1",
        act_id="d-1",
        at=NOW - 3.25,
        agent="spaced name/é",
        metadata={"source": "ebpf", "facts": [{"field": "arguments.x", "length": 6}]},
        delegation=("root", "planner"),
        seen_by=("sdk", "ebpf"),
    )
    given = row()._replace(action=action)
    given = given._replace(
        verdict=replace(given.verdict, evidence=(UNDECLARED,), confidence=0.5, notes=("young",)),
        origin=Origin.SERVER,
    )
    [public] = store.append(acme, [given]).result().ids
    [found] = store.verdicts(acme, VerdictQuery())
    assert found == store.verdict(acme, public)
    assert found.action == encode_action(action)
    assert (found.id, found.agent, found.source, found.rung) == (public, "spaced name/é", "ebpf", Rung.KERNEL)
    assert (found.evidence, found.confidence, found.notes) == ((UNDECLARED,), 0.5, ("young",))
    assert (found.action_id, found.run_id, found.act_id, found.policy_version) == ("a-1", "r-1", "d-1", "v1")
    assert (found.severity, found.status, found.origin, found.claimed) == (
        Severity.LOW,
        Status.OPEN,
        Origin.SERVER,
        False,
    )
    assert found.created_at == NOW


def test_the_same_action_is_kept_once_for_each_origin_and_source(store):
    acme = organisation(store)
    first = store.append(acme, [row("x")]).result()
    again = store.append(acme, [row("y"), row("x"), row("y")]).result()
    assert again.duplicates == {1, 2}
    assert again.ids[1] == first.ids[0]
    assert again.ids[2] == again.ids[0]
    others = [row("x", origin=Origin.OBSERVER), row("x", source="egress"), row("x", agent="other"), row(), row()]
    assert store.append(acme, others).result().duplicates == frozenset()
    assert len(store.verdicts(acme, VerdictQuery())) == 7


@pytest.mark.parametrize("origin", [Origin.OBSERVER, Origin.CLAIM, Origin.SERVER])
def test_only_an_observer_may_say_later_which_act_a_row_is_of(store, origin):
    acme = organisation(store)
    alone = row("e-1", source="egress", origin=origin)
    alone = alone._replace(action=replace(alone.action, act_id="e-1"))
    [public] = store.append(acme, [alone]).result().ids
    joined = replace(alone.action, act_id="call_7", run_id="run-1", seen_by=("sdk", "egress"))
    otherwise = replace(alone.verdict, reason="something else")
    found = store.append(acme, [alone._replace(action=joined, verdict=otherwise)]).result()
    assert (found.ids, found.duplicates) == ((public,), frozenset({0}))
    kept = store.verdict(acme, public)
    after = ("call_7", "run-1", ["sdk", "egress"]) if origin is Origin.OBSERVER else ("e-1", "", None)
    assert (kept.act_id, kept.run_id, kept.action.get("seen_by")) == after
    assert (kept.reason, kept.decision) == ("ok", Decision.ALLOW)
    store.append(acme, [alone._replace(action=replace(alone.action, act_id=""))]).result()
    assert store.verdict(acme, public).act_id == after[0]


@pytest.mark.parametrize("origin", [Origin.OBSERVER, Origin.CLAIM, Origin.SERVER])
@pytest.mark.parametrize(
    "changed",
    [{"target": "evil.example:443"}, {"tool": "wire_money"}, {"kind": "exec"}, {"hash": "ab"}, {"publisher": "p"}],
)
def test_another_deed_under_an_id_that_was_used_is_kept_too(store, origin, changed):
    acme = organisation(store)
    first = row("x", origin=origin)
    other = first._replace(action=replace(first.action, **changed))
    [one] = store.append(acme, [first]).result().ids
    found = store.append(acme, [other, first, other]).result()
    assert found.duplicates == {1, 2}, "each is kept once, however often it comes"
    assert found.ids[1] == one
    assert found.ids[0] == found.ids[2] != one
    assert store.append(acme, [other]).result() == Appended(ids=(found.ids[0],), duplicates=frozenset({0}))
    assert [entry.action_id for entry in store.verdicts(acme, VerdictQuery())] == ["x", "x"]
    assert store.agent(acme, first.action.agent).actions == 2


@pytest.mark.parametrize("origin", [Origin.OBSERVER, Origin.CLAIM, Origin.SERVER])
def test_what_is_blocked_does_not_hide_behind_an_id_that_was_let_through(store, origin):
    acme = organisation(store)
    first = row("x", origin=origin)
    worse = row("x", origin=origin, decision=Decision.BLOCK, reason="blocked by policy: p", evidence=(DENIED,))
    store.append(acme, [first]).result()
    assert store.append(acme, [worse, worse]).result().duplicates == {1}
    assert store.append(acme, [first]).result().duplicates == {0}
    assert [entry.decision for entry in store.verdicts(acme, VerdictQuery())] == [Decision.BLOCK, Decision.ALLOW]
    assert store.agent(acme, first.action.agent).blocked == 1


@pytest.mark.parametrize("count", [1, 4, 5, 99, 100, 101, 237])
def test_batches_of_any_size_are_written_whole_and_in_order(store, count):
    acme = organisation(store)
    ids = store.append(acme, [row(str(i)) for i in range(count)]).result().ids
    assert list(ids) == sorted(set(ids))
    found = store.verdicts(acme, VerdictQuery(limit=1000))
    assert [one.action_id for one in found] == [str(i) for i in reversed(range(count))]


def test_an_empty_batch_is_nothing(store):
    assert store.append(organisation(store), []).result().ids == ()


def test_filters_find_what_they_name_and_nothing_else(store):
    acme = organisation(store)
    rows = [
        row("a", agent="one", source="egress", run_id="r1", at=NOW - 7200),
        row("b", agent="two", tool="Wire_Money", evidence=(UNDECLARED,), at=NOW - 3600),
        row(
            "c",
            agent="two",
            target="attacker.example:443",
            decision=Decision.BLOCK,
            evidence=(DENIED,),
            reason="50% off_",
        ),
    ]
    ids = store.append(acme, rows).result().ids

    def found(**query):
        return [one.action_id for one in store.verdicts(acme, VerdictQuery(**query))]

    assert found() == ["c", "b", "a"]
    assert found(agent="two") == ["c", "b"]
    assert found(agent="nobody") == []
    assert found(source="egress") == ["a"]
    assert found(decision=Decision.BLOCK) == ["c"]
    assert found(decision=Decision.ALLOW) == ["b", "a"]
    assert found(flagged=True) == ["c", "b"]
    assert found(flagged=False) == ["a"]
    assert found(status=Status.OPEN) == ["c", "b", "a"]
    assert found(run_id="r1") == ["a"]
    assert found(since=NOW - 3600) == ["c", "b"]
    assert found(q="wire_money") == ["b"]
    assert found(q="ATTACKER") == ["c"]
    assert found(q="0% off_") == ["c"]
    assert found(q="%") == ["c"]
    assert found(q="_ff") == []
    assert found(limit=1, offset=1) == ["b"]
    assert found(after=ids[0]) == ["c", "b"]
    assert found(before=ids[1]) == ["a"]
    assert found(before="nonsense") == []


def test_no_organisation_sees_or_touches_anothers_rows(store):
    acme, other = organisation(store), organisation(store, "other")
    [public] = store.append(acme, [row("a", evidence=(UNDECLARED,))]).result().ids
    assert store.verdicts(other, VerdictQuery()) == ()
    assert store.verdicts(other, VerdictQuery(agent="billing")) == ()
    assert store.verdict(other, public) is None
    assert store.set_status(other, public, Status.RESOLVED, at=NOW) is None
    assert store.verdict(acme, public).status is Status.OPEN
    assert store.agents(other) == ()
    assert store.days(other, since="2020-01-01") == ()
    assert store.append(other, [row("a")]).result().duplicates == frozenset()


def test_agents_are_entered_counted_and_ranked_by_what_saw_them(store):
    acme = organisation(store)
    store.append(acme, [row("1", source="egress", at=NOW + 5), row("2", evidence=(UNDECLARED,), at=NOW + 9)]).result()
    store.append(
        acme, [row("2", evidence=(UNDECLARED,), origin=Origin.SERVER, decision=Decision.BLOCK, further=True)]
    ).result()
    [agent] = store.agents(acme)
    assert (agent.rung, agent.first_seen, agent.last_seen) == (Rung.EGRESS, NOW + 5, NOW + 9)
    # What we add to a client's word is not another action of the agent.
    assert (agent.actions, agent.flagged, agent.blocked) == (2, 2, 1)


def test_duplicates_are_not_counted(store):
    acme = organisation(store)
    for _ in range(2):
        store.append(acme, [row("1")]).result()
    assert store.agent(acme, "billing").actions == 1
    assert [(hour.actions, hour.agent) for hour in store.hours(acme, since=0)] == [(1, "billing")]


def test_hours_and_days_add_up(store):
    acme = organisation(store)
    hour = NOW // 3600 * 3600
    store.append(acme, [row("1", at=hour), row("2", at=hour + 3600, evidence=(UNDECLARED,))]).result()
    [public] = store.append(acme, [row("3", at=hour + 3601, decision=Decision.BLOCK, agent="b")]).result().ids
    store.set_status(acme, public, Status.RESOLVED, at=hour + 3602)
    store.set_status(acme, public, Status.RESOLVED, at=hour + 3603)
    assert store.hours(acme, since=hour, agent="billing") == (
        Hour(agent="billing", at=hour, actions=1, flagged=0, blocked=0),
        Hour(agent="billing", at=hour + 3600, actions=1, flagged=1, blocked=0),
    )
    assert store.hours(acme, since=hour + 3600, agent="nobody") == ()
    [day] = store.days(acme, since="2026-09-01")
    assert (day.day, day.actions, day.flagged, day.blocked, day.reviews) == ("2026-09-21", 3, 1, 1, 1)


def test_a_status_is_kept_and_found(store):
    acme = organisation(store)
    [public] = store.append(acme, [row("1")]).result().ids
    assert store.set_status(acme, public, Status.ACKNOWLEDGED, at=NOW).status is Status.ACKNOWLEDGED
    assert len(store.verdicts(acme, VerdictQuery(status=Status.ACKNOWLEDGED))) == 1
    assert store.verdicts(acme, VerdictQuery(status=Status.OPEN)) == ()
    assert store.set_status(acme, "0" * 16, Status.OPEN, at=NOW) is None
    assert store.set_status(acme, "../etc", Status.OPEN, at=NOW) is None


def test_suppressions_belong_to_an_agent_and_can_be_taken_back(store):
    acme = organisation(store)
    entry = Suppression(agent="billing", signature="s", verdict_id="v", created_at=NOW)
    for _ in range(2):
        store.suppress(acme, entry)
    assert store.suppressions(acme) == (entry,)
    assert not store.unsuppress(acme, "other", "s")
    assert store.unsuppress(acme, "billing", "s")
    assert store.suppressions(acme) == ()


def test_agents_are_bounded_and_a_refused_batch_leaves_nothing(store, monkeypatch):
    monkeypatch.setattr("kaizen_security.store.agents.MAX_AGENTS", 2)
    acme = organisation(store)
    store.append(acme, [row("1", agent="a"), row("2", agent="b")]).result()
    refused = store.append(acme, [row("3", agent="a"), row("4", agent="c")])
    good = store.append(acme, [row("5", agent="a")])
    with pytest.raises(LimitReached):
        refused.result()
    assert good.result().duplicates == frozenset()
    assert [one.action_id for one in store.verdicts(acme, VerdictQuery())] == ["5", "2", "1"]
    assert store.agent(acme, "a").actions == 2
    assert base.MAX_AGENTS > 2


def test_a_new_verdict_is_a_value():
    assert row("1") == row("1")
    assert isinstance(row("1"), NewVerdict)
