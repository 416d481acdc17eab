"""What told of one deed and what saw it is listed once, however it came and wherever a page ends."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import sqlalchemy

from kaizen_security.contract.verdict import Decision
from kaizen_security.store.acts import MOST, act_of
from kaizen_security.store.base import Origin, VerdictQuery
from tests.unit.store.rows import DENIED, UNDECLARED, organisation, row


def of_act(id_: str, act: str, source: str = "sdk", *, seen_by: tuple[str, ...] = (), **more):
    made = row(id_, source=source, origin=more.pop("origin", Origin.OBSERVER), **more)
    return made._replace(action=replace(made.action, act_id=act, seen_by=seen_by))


def listed(store, acme, **query):
    return [found.action_id for found in store.acts.latest(acme, VerdictQuery(**query))]


def append(store, acme, *rows):
    return [store.append(acme, [one]).result().ids[0] for one in rows]


def test_a_call_and_its_effects_are_one(store):
    acme = organisation(store)
    call = of_act("call", "call")
    proxy = of_act("proxy", "call", "egress", seen_by=("sdk", "egress"))
    kernel = of_act("kernel", "call", "ebpf", seen_by=("egress", "ebpf"))
    other = of_act("other", "other")
    append(store, acme, call, proxy, other, kernel)
    assert listed(store, acme) == ["kernel", "other"]
    [act, alone] = store.acts.of(acme, store.acts.latest(acme, VerdictQuery()))
    assert [one.action_id for one in act] == ["kernel", "proxy", "call"]
    assert [one.action_id for one in alone] == ["other"]


def test_it_does_not_matter_which_was_kept_first(store):
    acme = organisation(store)
    effect = of_act("effect", "effect", "egress")
    [first] = append(store, acme, effect)
    append(store, acme, of_act("call", "call"))
    append(store, acme, of_act("effect", "call", "egress", seen_by=("sdk", "egress")))  # reported again, with its act
    assert listed(store, acme) == ["call"]
    [act] = store.acts.of(acme, [store.verdict(acme, first)])
    assert [one.action_id for one in act] == ["call", "effect"]


def test_a_claim_and_what_the_server_says_of_it_are_one(store):
    acme = organisation(store)
    claim, found = (of_act("a", "", origin=origin) for origin in (Origin.CLAIM, Origin.SERVER))
    store.append(acme, [claim, found]).result()
    [one] = store.acts.latest(acme, VerdictQuery())
    assert one.origin is Origin.SERVER
    assert [other.origin for other in store.acts.of(acme, [one])[0]] == [Origin.SERVER, Origin.CLAIM]


def test_a_filter_finds_an_act_by_any_of_its_rows(store):
    acme = organisation(store)
    append(
        store,
        acme,
        of_act("call", "call", decision=Decision.BLOCK, evidence=(DENIED,)),
        of_act("effect", "call", "ebpf", seen_by=("sdk", "ebpf")),
    )
    assert listed(store, acme) == ["effect"]
    assert listed(store, acme, decision=Decision.BLOCK) == ["call"]
    assert listed(store, acme, flagged=True) == ["call"]
    assert listed(store, acme, source="ebpf") == ["effect"]
    assert listed(store, acme, q="STRIPE") == ["effect"]
    assert listed(store, acme, q="nowhere") == []


def test_one_name_in_two_runs_or_of_two_agents_is_two_acts(store):
    acme = organisation(store)
    append(
        store,
        acme,
        of_act("1", "call_1", run_id="r1"),
        of_act("2", "call_1", run_id="r2"),
        of_act("3", "call_1", run_id="r1", agent="other"),
        of_act("4", "call_1", "ebpf", run_id="r2"),
    )
    assert listed(store, acme) == ["4", "3", "1"]


def test_rows_without_any_id_stay_apart(store):
    acme = organisation(store)
    append(store, acme, row(), row(), row())
    assert len(listed(store, acme)) == 3


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("page", [1, 3, 7])
def test_pages_hold_each_act_once_in_the_order_of_its_newest_row(store, seed, page):
    chance = random.Random(seed)
    acme = organisation(store)
    for n in range(40):
        act = f"act-{chance.randrange(12)}"
        append(store, acme, of_act(act if chance.random() < 0.4 else f"row-{n}", act, chance.choice(("sdk", "ebpf"))))
    rows = store.verdicts(acme, VerdictQuery())
    wanted = list({act_of(one): one.id for one in reversed(rows)}.values())
    found, before = [], ""
    while part := store.acts.latest(acme, VerdictQuery(limit=page, before=before)):
        found += [one.id for one in part]
        before = part[-1].id
    assert found == sorted(wanted, reverse=True)
    assert found == [one.id for one in store.acts.latest(acme, VerdictQuery())]


def test_of_an_act_without_end_the_newest_rows_are_given(store):
    acme = organisation(store)
    store.append(acme, [of_act(f"r{n}", "act") for n in range(3 * MOST)]).result()
    [head] = store.acts.latest(acme, VerdictQuery())
    [act] = store.acts.of(acme, [head])
    assert [one.action_id for one in act] == [f"r{n}" for n in range(3 * MOST - 1, 2 * MOST - 1, -1)]


def test_what_is_bad_or_was_seen_is_not_hidden_behind_harmless_rows_of_its_act(store):
    acme = organisation(store)
    telling = [
        of_act("bad", "act", decision=Decision.BLOCK, evidence=(DENIED,)),
        of_act("worse", "act", evidence=(replace(UNDECLARED, attack="scope-creep"),)),
        of_act("seen", "act", "ebpf"),
    ]
    store.append(acme, [*telling, *(of_act(f"r{n}", "act") for n in range(2 * MOST))]).result()
    for query in (VerdictQuery(), VerdictQuery(flagged=True), VerdictQuery(decision=Decision.BLOCK)):
        [act] = store.acts.of(acme, store.acts.latest(acme, query))
        assert len(act) == MOST
        assert [one.action_id for one in act][-3:] == ["seen", "worse", "bad"]
    store.append(acme, [of_act(f"doubtful{n}", "act", evidence=(UNDECLARED,)) for n in range(MOST)]).result()
    [act] = store.acts.of(acme, store.acts.latest(acme, VerdictQuery()))
    assert [one.action_id for one in act][-2:] == ["worse", "bad"]


def test_rows_of_another_run_take_no_place_from_an_act_of_the_same_name(store):
    """Some frameworks count their calls anew in each run."""
    acme = organisation(store)
    call = of_act("call", "call_1", run_id="r1")
    proxy = of_act("proxy", "call_1", "egress", run_id="r1")
    store.append(acme, [call, proxy]).result()
    store.append(acme, [of_act(f"r{n}", "call_1", "ebpf", run_id="r2") for n in range(MOST)]).result()
    [head] = store.acts.latest(acme, VerdictQuery(run_id="r1"))
    [act] = store.acts.of(acme, [head])
    assert [one.action_id for one in act] == ["proxy", "call"]


def test_the_indexes_of_joined_rows_answer(store):
    """Or a page would read an agent's whole history for each of its lines, and all rows of an act to show the worst of them."""
    acme = organisation(store)
    asked: list[str] = []
    [first] = append(store, acme, of_act("1", "a"))
    sqlalchemy.event.listen(store._readers, "before_cursor_execute", lambda *found: asked.append((found[2], found[3])))
    store.acts.latest(acme, VerdictQuery(flagged=False))
    store.acts.of(acme, [store.verdict(acme, first)])
    plans = [
        " ".join(
            str(step)
            for step in store._read(lambda c, s=said, v=values: c.exec_driver_sql(f"EXPLAIN QUERY PLAN {s}", v))
        )
        for said, values in list(asked)
        if "act_id !=" in said
    ]
    newest, telling = plans
    assert "verdicts_joined (agent_id=? AND act_id=? AND id>?)" in newest
    assert "verdicts_telling (agent_id=? AND act_id=? AND run_id=?)" in telling
    assert "TEMP B-TREE" not in telling, "it reads and sorts all rows of the act"
