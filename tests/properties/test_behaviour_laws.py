"""Laws of what is learned of an agent's behaviour, over any history: replay, scoring, joining; and attempts to get around it."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from kaizen_security.contract.action import Action
from kaizen_security.contract.step import End, Request, Result
from kaizen_security.detections import BUILTIN
from kaizen_security.observer.baseline import Baseline, destination, features
from kaizen_security.observer.behaviour import amount
from kaizen_security.observer.conduct import Conduct, trait_of
from kaizen_security.observer.observer import Observer
from kaizen_security.observer.weigh import TOLERANCE

START = 1_000_000_000.0

amounts = st.one_of(st.integers(0, 10**6), st.floats(0, 1e6), st.sampled_from(["12.50", "1,200", "$40", "x"]))
calls = st.builds(
    lambda tool, amount, to, sensitive, kind: Action(
        kind=kind,
        tool=tool,
        target="https://api.example/v1",
        metadata={"source": "sdk", "sensitive": sensitive, "arguments": {"amount": amount, "to": to}},
    ),
    st.sampled_from(["pay", "sign_in", "read", "send_mail"]),
    amounts,
    st.sampled_from(["a@x.example", ["b@x.example", "c@x.example"], "nobody"]),
    st.booleans(),
    st.sampled_from(["tool_call", "http"]),
)
runs = st.lists(st.tuples(st.sampled_from("abc"), st.lists(calls, min_size=1, max_size=5)), max_size=20)


def taught(found, replica, pairs, only=None):
    """``found`` after some runs, each at a time of its own, whoever learns it."""
    for n, (name, actions) in enumerate(pairs):
        if only is not None and name != only:
            continue
        conduct = Conduct()
        for action in actions:
            trait = trait_of(action, destination(action))
            conduct.take(trait)
            conduct.completed(trait)
            found.learn(features(action))
        found.behaviour.learn(conduct, START + n * 3600.0)
    return found


def spread(pairs):
    return [taught(Baseline(replica=name), name, pairs, only=name) for name in "abc"]


def state(baseline):
    return json.dumps(baseline.to_json(), sort_keys=True)


@given(runs)
def test_baselines_join_in_any_order_and_any_number_of_times(pairs):
    one, two, three = spread(pairs)
    whole = state(one.merge(two).merge(three))
    assert state(one.merge(two.merge(three))) == whole
    assert state(one.merge(two).merge(three).merge(two).merge(one)) == whole
    assert state(three.merge(two).merge(one)) == whole


@given(runs, calls)
def test_what_three_replicas_learned_apart_is_judged_as_if_one_had_learned_it(pairs, asked):
    one, two, three = spread(pairs)
    joined, single = one.merge(two).merge(three), taught(Baseline(replica="s"), "s", pairs)
    trait = trait_of(asked, destination(asked))
    for figure in trait.figures:
        known = amount(trait.tool, figure)
        assert joined.behaviour.size.score_one(known) == single.behaviour.size.score_one(known)
    assert joined.behaviour.order.score_one((trait.tool,)) == single.behaviour.order.score_one((trait.tool,))
    assert joined.behaviour.sessions.seen == single.behaviour.sessions.seen
    assert joined.seen == single.seen


@given(runs)
def test_closed_parts_are_folded_once_and_nothing_is_lost(pairs):
    parts = spread(pairs)
    centre = Baseline(replica="centre")
    for part in parts:
        part.turn()
        centre = centre.merge(part)
    before = centre.seen
    centre.fold()
    for part in (*parts, *parts):
        centre = centre.merge(part)
    assert centre.seen == before == sum(part.seen for part in parts)
    assert centre.behaviour.size.seen == sum(part.behaviour.size.seen for part in parts)


@given(runs)
def test_a_baseline_survives_its_document(pairs):
    baseline = taught(Baseline(replica="a"), "a", pairs)
    assert state(Baseline.from_json(json.loads(state(baseline)), replica="a")) == state(baseline)


def watching(history):
    """An Observer after some runs, and the verdicts that they got."""
    observer, said, now = Observer(detections=BUILTIN), [], START
    for n, (_, actions) in enumerate(history):
        for i, action in enumerate(actions):
            now += 60
            action = replace(action, id=f"{n}-{i}", run_id=f"run{n}")
            observer.note(action, now)
            weighed = observer.weighed(action, now)
            observer.learn(action, weighed, now, completed=True)
            said.append(weighed.verdict)
        observer.note(End(run_id=f"run{n}"), now)
    return observer, said


@given(runs, calls)
def test_replay_gives_the_same_and_scoring_teaches_nothing(pairs, asked):
    observer, said = watching(pairs)
    again, repeated = watching(pairs)
    assert said == repeated
    before = state(observer.baseline)
    assert before == state(again.baseline)
    asked = replace(asked, id="asked", run_id="now")
    assert observer.assess(asked, START * 2) == observer.assess(asked, START * 2)
    assert state(observer.baseline) == before


# --- attempts to get around it ------------------------------------------------------------------------------------------------


def paying(n, amount, **more):
    arguments = {"amount": amount, "to": "a@x.example", **more}
    metadata = {"source": "sdk", "arguments": arguments}
    return Action(id=f"p{n}", run_id=f"r{n}", tool="pay_bill", target="https://bank.example/pay", metadata=metadata)


def paid(observer, n, amount, **more):
    """Whether volume, drift or peers say something of one more run with one payment; it is learned when nothing does."""
    now, action = START + n * 86_400.0, paying(n, amount, **more)
    observer.note(Request(run_id=action.run_id, text="Pay the bill."), now)
    observer.note(action, now)
    weighed = observer.weighed(action, now)
    observer.learn(action, weighed, now, completed=False)
    observer.note(Result(run_id=action.run_id, action_id=action.id, content={"ok": True}), now)
    observer.note(End(run_id=action.run_id), now)
    return [one.detection for one in weighed.verdict.evidence if one.detection in ("volume", "drift")]


def steady():
    observer = Observer(detections=BUILTIN)
    assert not any(paid(observer, n, 50 + n % 9) for n in range(60))
    return observer


def test_an_amount_hidden_among_sixty_others_is_still_seen():
    padding = {f"note{n}": n for n in range(1, 60)}
    assert "volume" in paid(steady(), 100, 4000, **padding)


def test_flagged_amounts_are_never_learned_however_often_they_come():
    observer = steady()
    before = state(observer.baseline)
    for n in range(100, 140):
        assert "volume" in paid(observer, n, 4000)
    assert json.loads(state(observer.baseline))["behaviour"] == json.loads(before)["behaviour"]


def test_raising_the_amount_a_little_each_day_is_seen_before_it_is_worth_it():
    observer, amount = steady(), 55.0
    for n in range(60, 160):
        amount *= 1.05
        if paid(observer, n, round(amount, 2)):
            break
    assert amount < 55 * 6


def test_a_flood_of_new_fields_does_not_wash_away_what_is_known():
    observer = steady()
    for n in range(200, 500):
        paid(observer, n, 55, **{f"field{n}": n})
    assert "volume" in paid(observer, 600, 4000)


def test_no_amount_is_said_to_be_large_before_enough_were_learned():
    observer = Observer(detections=BUILTIN)
    assert not any(paid(observer, n, 10**n) for n in range(8))
    assert TOLERANCE == 0.01
