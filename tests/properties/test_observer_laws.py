"""Laws of the Observer over any history: replay, scoring, learning, deny, merging, renaming."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from kaizen_security.contract.action import Action
from kaizen_security.contract.bundle import Bundle
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.policy import Policy
from kaizen_security.contract.step import End, Result
from kaizen_security.contract.verdict import Mode
from kaizen_security.observer.baseline import Baseline, features
from kaizen_security.observer.learners.novelty import Novelty
from kaizen_security.runtime.inspector import Inspector
from tests.properties.strategies import actions as any_actions
from tests.properties.strategies import steps as any_steps

TOOLS = ["search", "read", "mail", "upload", "wire"]
HOSTS = ["api.example:443", "docs.example:443", "attacker.example:443", "203.0.113.9:443", ""]

actions = st.builds(
    Action,
    kind=st.sampled_from(["tool_call", "connect", "file"]),
    tool=st.sampled_from(["", *TOOLS]),
    target=st.sampled_from(HOSTS),
    run_id=st.sampled_from(["", "r1", "r2"]),
    agent=st.sampled_from(["a", "b"]),
    at=st.integers(1_000_000_000, 1_000_000_250).map(float),
    metadata=st.sampled_from([{}, {"source": "egress"}, {"source": "langchain"}, {"sensitive": True}]),
)
numbered = st.lists(actions, max_size=40).map(
    lambda found: [replace(action, id=f"i{n}") for n, action in enumerate(found)]
)
told = st.lists(st.booleans(), min_size=40, max_size=40)
policies = st.sampled_from(
    [
        (),
        (Policy("blocklist", {"domains": ["attacker.example"]}, "hosts"),),
        (Policy("blocklist", {"ips": ["203.0.113.0/24"], "skill_patterns": ["wire.*"]}, "both"),),
        (Policy("correlation", {"risky_sequence": "read_then_connect"}, "sequence"),),
    ]
)
declarations = st.sampled_from(
    [Declaration(), Declaration(tools=("search", "read")), Declaration(destinations=("api.example", "*.docs.example"))]
)
bundles = st.builds(
    Bundle,
    agent=st.just("a"),
    version=st.just(1),
    policies=policies,
    declaration=declarations,
    mode=st.sampled_from(Mode),
    paused=st.booleans(),
)


def watching(bundle):
    inspector = Inspector(clock=lambda: 1_000_001_000.0, ids=lambda: "no id")
    for agent in ("a", "b"):
        inspector.configure(agent, replace(bundle, agent=agent))
    return inspector


def judged(inspector, history, reported):
    return [
        (inspector.observe if after else inspector.inspect)(action)
        for action, after in zip(history, reported, strict=False)
    ]


def state(inspector):
    return {agent: json.dumps(inspector.profile(agent), sort_keys=True) for agent in ("a", "b")}


@given(bundles, numbered, told)
def test_replay_gives_the_same_verdicts(bundle, history, reported):
    first, second = watching(bundle), watching(bundle)
    assert judged(first, history, reported) == judged(second, history, reported)
    assert state(first) == state(second)


@given(st.lists(any_steps, max_size=12))
def test_any_step_whatever_it_holds_is_taken(steps):
    inspector = Inspector(clock=lambda: 1_000_001_000.0)
    for step in steps:
        inspector.note(step)
    assert inspector.failures == 0


@given(any_actions, bundles)
def test_any_action_whatever_it_holds_gets_a_verdict(action, bundle):
    inspector = watching(bundle)
    verdict = inspector.inspect(action)
    assert inspector.failures == 0
    assert verdict.reason
    assert all(len(one.value) <= 512 for one in verdict.evidence)


@given(bundles, numbered, told, actions)
def test_assessing_teaches_nothing(bundle, history, reported, asked):
    inspector = watching(bundle)
    judged(inspector, history, reported)
    before = state(inspector)
    for _, lane in inspector.agents:
        first = lane.observer.assess(asked, 1_000_002_000.0)
        assert lane.observer.assess(asked, 1_000_002_000.0) == first
    assert state(inspector) == before


@given(bundles, numbered, told)
def test_a_flagged_action_and_its_run_are_never_learned(bundle, history, reported):
    # A paused agent's flags do not show in its verdicts; that they are not learned either has a test of its own.
    bundle = replace(bundle, paused=False)
    inspector = watching(bundle)
    verdicts = judged(inspector, history, reported)
    flagged = {(one.agent, one.run_id) for one, verdict in zip(history, verdicts, strict=True) if verdict.flagged}
    clean = watching(bundle)
    kept = [
        (action, after)
        for action, verdict, after in zip(history, verdicts, reported, strict=False)
        if not verdict.flagged and not (action.run_id and (action.agent, action.run_id) in flagged)
    ]
    judged(clean, [action for action, _ in kept], [after for _, after in kept])
    for inspected in (inspector, clean):
        for agent in ("a", "b"):
            for run in ("r1", "r2"):
                inspected.note(End(run_id=run, agent=agent, at=1_000_000_600.0))
        inspected.wake(1_000_009_000.0)
    learned = [inspected.profile(agent)["learned"] for inspected in (inspector, clean) for agent in ("a", "b")]
    assert learned[:2] == learned[2:]


@given(bundles, numbered, actions)
def test_what_was_learned_never_loosens_policy_or_declaration(bundle, history, action):
    fresh, taught = watching(bundle), watching(bundle)
    for one in history:
        taught.fold(one.agent, [one] * 5)
    taught.fold(action.agent, [action] * 300)
    action = replace(action, id="judged")
    before, after = fresh.observe(action), taught.observe(action)
    assert not (before.blocked and after.allowed)
    strict = ("policy", "correlation", "declaration")
    assert [one for one in after.evidence if one.detection in strict] == [
        one for one in before.evidence if one.detection in strict
    ]


@given(bundles, policies, numbered, told)
def test_another_deny_never_turns_a_block_into_an_allow(bundle, more, history, reported):
    loose = judged(watching(bundle), history, reported)
    strict = judged(watching(replace(bundle, policies=(*bundle.policies, *more))), history, reported)
    for before, after in zip(loose, strict, strict=True):
        assert not (before.blocked and after.allowed)


@given(bundles, numbered, told)
def test_enforce_blocks_whatever_observe_blocks(bundle, history, reported):
    observing = judged(watching(replace(bundle, mode=Mode.OBSERVE)), history, reported)
    enforcing = judged(watching(replace(bundle, mode=Mode.ENFORCE)), history, reported)
    assert all(after.blocked for before, after in zip(observing, enforcing, strict=True) if before.blocked)


# --- renaming ---------------------------------------------------------------------------------------------------------------

NAMES = {
    **{tool: f"outil_{n}" for n, tool in enumerate(TOOLS)},
    "api.example:443": "un.example:443",
    "docs.example:443": "deux.example:443",
    "attacker.example:443": "trois.example:443",
    "203.0.113.9:443": "198.51.100.9:443",
}


@given(numbered, told, st.integers(0, 150))
def test_renaming_tools_hosts_runs_and_agents_changes_no_verdict(history, reported, practice):
    def renamed(action):
        return replace(
            action,
            tool=NAMES.get(action.tool, action.tool),
            target=NAMES.get(action.target, action.target),
            run_id=action.run_id and f"autre-{action.run_id}",
            agent=f"agent-{action.agent}",
        )

    def shapes(inspector, told_of):
        for n in range(practice):
            for agent in {action.agent for action in told_of}:
                used = next(action for action in told_of if action.agent == agent)
                inspector.fold(agent, [replace(used, id=f"p{n}")])
        return [
            (verdict.decision, [(one.kind, one.field, one.detection) for one in verdict.evidence], len(verdict.notes))
            for verdict in judged(inspector, told_of, reported)
        ]

    plain = Inspector(clock=lambda: 1_000_001_000.0)
    other = Inspector(clock=lambda: 1_000_001_000.0)
    for agent in ("a", "b"):
        plain.configure(agent, Bundle(agent=agent, version=1))
        other.configure(f"agent-{agent}", Bundle(agent=f"agent-{agent}", version=1))
    assert shapes(plain, history) == shapes(other, [renamed(action) for action in history])


# --- merging ----------------------------------------------------------------------------------------------------------------

replicas = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("uvwxyz")), max_size=60)


def spread(observations, **settings):
    made = {name: Novelty(replica=name, **settings) for name in "abc"}
    for name, value in observations:
        made[name].learn_one(value)
    return [made[name] for name in "abc"]


@given(replicas, st.integers(1, 8))
def test_merging_is_commutative_associative_and_idempotent(observations, capacity):
    one, two, three = spread(observations, capacity=capacity)
    whole = one.merge(two).merge(three).to_json()
    assert three.merge(one).merge(two).to_json() == whole
    assert one.merge(two.merge(three)).to_json() == whole
    assert one.merge(two).merge(three).merge(two).merge(one).to_json() == whole


@given(replicas)
def test_merging_is_learning_in_one_place(observations):
    one, two, three = spread(observations)
    single = Novelty()
    for _, value in observations:
        single.learn_one(value)
    merged = one.merge(two).merge(three)
    assert {x: merged.count(x) for x in "uvwxyz"} == {x: single.count(x) for x in "uvwxyz"}
    assert (merged.seen, merged.unseen) == (single.seen, single.unseen)


@given(replicas, replicas, st.booleans())
def test_folding_closed_parts_counts_each_observation_once(before, after, again):
    parts = spread(before)
    for part in parts:
        part.turn()
    centre = Novelty(replica="centre")
    for part in parts:
        centre = centre.merge(part)
    centre.fold()
    parts = [part.merge(centre) for part in parts]
    for name, value in after:
        parts["abc".index(name)].learn_one(value)
    whole = centre
    for part in (*parts, *(parts if again else ())):
        whole = whole.merge(part)
    assert whole.seen == len(before) + len(after)


@given(st.lists(st.text(max_size=80), max_size=60), st.text(max_size=80))
def test_scores_are_in_0_to_1_and_known_values_score_nothing(values, asked):
    learner = Novelty(grace=1)
    for value in values:
        learner.learn_one(value)
    assert 0.0 <= learner.score_one(asked) <= 1.0
    assert all(learner.score_one(value) == 0.0 for value in values)


@given(st.lists(any_actions, max_size=20))
def test_a_baseline_survives_json_whatever_it_learned(history):
    baseline = Baseline(replica="x")
    for action in history:
        baseline.learn(features(action))
    document = json.loads(json.dumps(baseline.to_json()))
    assert Baseline.from_json(document, replica="x").to_json() == baseline.to_json()
    if not baseline.forgotten:
        assert all(baseline.knows(feature) for action in history for feature in features(action))


@given(numbered, told)
def test_results_in_any_order_teach_nothing_that_was_not_done(history, reported):
    inspector = watching(Bundle(agent="a", version=1))
    for action in reversed(history):
        inspector.note(Result(run_id=action.run_id, action_id=action.id, agent=action.agent))
    judged(inspector, history, reported)
    tools = {row["value"] for agent in ("a", "b") for row in inspector.profile(agent)["learned"]["tool"]}
    assert tools <= {action.tool for action in history}
