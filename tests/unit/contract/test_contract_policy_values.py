"""Values that are built quickly are the same as those that are built by their class."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields, replace

import pytest

from kaizen_security.contract.action import Action
from kaizen_security.contract.canonical_target import Target
from kaizen_security.contract.canonical_values import builder
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.score import Score
from kaizen_security.contract.verdict import Decision, Pending, Verdict, restated


@pytest.mark.parametrize(
    "value",
    [
        Action(kind="connect", tool="fetch", target="a.example:443", metadata={"source": "egress"}, id="1", at=2.0),
        Target(scheme="https", host="a.example", port=443, path="/x", also=("b.example",)),
        Finding("malicious domain", "a.example", "policy:org", detection="policy", attack="blocked-host"),
        Verdict("block", "why", (Finding("k", "v"),), notes=("n",), action_id="1", at=3.0),  # type: ignore[arg-type]
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_built_value_is_the_one_that_its_class_makes(value):
    names = [field.name for field in fields(value)]
    made = builder(type(value))(*(getattr(value, name) for name in names))
    assert type(made) is type(value)
    assert made == value
    assert repr(made) == repr(value)
    with pytest.raises(FrozenInstanceError):
        setattr(made, names[0], "other")


def test_a_builder_takes_every_field():
    with pytest.raises(TypeError):
        builder(Finding)("kind", "value")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"action_id": "2"},
        {"notes": ()},
        {"policy_version": "q"},
        {"action_id": "", "notes": ("m",), "policy_version": ""},
    ],
)
def test_a_restated_verdict_differs_in_what_was_said_anew_only(changes):
    said = Verdict(
        Decision.BLOCK,
        "why",
        (Finding("k", "v"),),
        confidence=0.5,
        notes=("n",),
        action_id="1",
        policy_version="p",
        pending=Pending(id="h", expires_at=9.0),
        at=3.0,
        score=Score(value=0.5, parts=()),
    )
    assert restated(said, **changes) == replace(said, **changes)
    assert said.action_id == "1"


def test_an_address_that_is_no_dotted_decimal_is_read_the_long_way():
    from kaizen_security.contract import canonical

    assert not canonical.target("10.0.0.256").readable
    assert not canonical.target("10.0.0.256").is_address
    assert canonical.target("010.0.0.1:80").host == "8.0.0.1"
    assert canonical.target("http://10.0.0.1/x").host == "10.0.0.1"
    assert canonical.target("1.2.3.4.example:443").host == "1.2.3.4.example"
