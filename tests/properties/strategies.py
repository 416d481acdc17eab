"""Hypothesis strategies for the values of the contract."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from kaizen_security.contract.action import Action
from kaizen_security.contract.bundle import Bundle, Fold
from kaizen_security.contract.codec import Report
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.policy import Policy
from kaizen_security.contract.score import EFFECTS, KINDS, ORIGINS, Came, Part, Score
from kaizen_security.contract.step import Claim, Effect, End, Message, Request, Result
from kaizen_security.contract.verdict import Decision, Mode, Pending, Verdict

storable = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
texts = st.text(storable, max_size=60)
names = st.text(storable, min_size=1, max_size=30)
# Whole microseconds: what RFC 3339 with six digits carries.
instants = st.integers(min_value=1, max_value=4_000_000_000_000_000).map(lambda us: us / 1_000_000)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
documents = st.recursive(
    scalars, lambda below: st.lists(below, max_size=4) | st.dictionaries(texts, below, max_size=4), max_leaves=12
)

actions = st.builds(
    Action,
    kind=names,
    tool=texts,
    publisher=texts,
    target=texts,
    hash=texts,
    metadata=st.dictionaries(texts, documents, max_size=4),
    id=texts,
    run_id=texts,
    act_id=texts,
    at=st.just(0.0) | instants,
    agent=names,
    organisation=texts,
    delegation=st.lists(texts, max_size=3).map(tuple),
    seen_by=st.lists(texts, max_size=3).map(tuple),
)
findings = st.builds(Finding, **dict.fromkeys(Finding.__dataclass_fields__, texts))
digits = st.integers(-40_000_000, 40_000_000).map(lambda n: n / 10_000)
positive = st.integers(0, 400_000).map(lambda n: n / 10_000)
shares = st.integers(0, 10_000).map(lambda n: n / 10_000)
scores = st.builds(
    Score,
    value=digits,
    threshold=st.none() | digits,
    probability=shares,
    bias=digits,
    parts=st.lists(
        st.builds(Part, name=st.from_regex(r"[a-z_]{1,20}", fullmatch=True), weight=positive, value=shares), max_size=3
    ).map(tuple),
    steered=st.booleans(),
    asked=shares,
    told=shares,
    came=st.lists(
        st.builds(
            Came, field=texts, kind=st.sampled_from(KINDS), origin=st.sampled_from(ORIGINS), tool=texts, path=texts
        ),
        max_size=3,
    ).map(tuple),
    wanted=st.lists(st.sampled_from(EFFECTS), max_size=2).map(tuple),
    effects=st.lists(st.sampled_from(EFFECTS), max_size=2).map(tuple),
)
verdicts = st.builds(
    Verdict,
    decision=st.sampled_from(Decision),
    reason=texts,
    evidence=st.lists(findings, max_size=3).map(tuple),
    confidence=st.none() | st.floats(0, 1),
    notes=st.lists(texts, max_size=3).map(tuple),
    action_id=texts,
    policy_version=texts,
    pending=st.none() | st.builds(Pending, id=texts, expires_at=instants),
    at=st.just(0.0) | instants,
    score=st.none() | scores,
)
reports = st.builds(Report, action=actions, verdict=st.none() | verdicts)
run = {"run_id": texts, "agent": names, "at": st.just(0.0) | instants}
steps = st.one_of(
    actions,
    st.builds(Request, text=texts, **run),
    st.builds(Result, action_id=texts, content=documents, failed=st.booleans(), **run),
    st.builds(Message, text=texts, to=names, **run),
    st.builds(Claim, action=actions, **run),
    st.builds(Effect, action=actions, **run),
    st.builds(End, completed=st.booleans(), **run),
)
declarations = st.builds(
    Declaration,
    tools=st.lists(texts, max_size=4).map(tuple),
    destinations=st.lists(texts, max_size=4).map(tuple),
    purpose=texts,
    data=st.lists(texts, max_size=4).map(tuple),
)
policies = st.builds(
    Policy, st.sampled_from(["blocklist", "allowlist", "correlation"]), st.just({}), names, st.booleans()
)


def _of_one_agent(bundle):
    """What was folded is the bundle's agent's, whatever the action says of itself."""
    own = [replace(fold, action=replace(fold.action, agent=bundle.agent)) for fold in bundle.folded]
    return replace(bundle, folded=tuple(own))


folds = st.builds(Fold, number=st.integers(0, 2**31), action=actions)
bundles = st.builds(
    Bundle,
    agent=names,
    version=st.integers(0, 2**53),
    policies=st.lists(policies, max_size=3).map(tuple),
    declaration=declarations,
    mode=st.sampled_from(Mode),
    paused=st.booleans(),
    issued_at=instants,
    expires_at=instants,
    organisation=texts,
    suppressed=st.lists(st.binary(min_size=32, max_size=32).map(bytes.hex), max_size=3).map(tuple),
    epoch=st.integers(0, 2**31),
    folded=st.lists(folds, max_size=3).map(tuple),
).map(_of_one_agent)
