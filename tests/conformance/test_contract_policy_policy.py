"""The golden vectors of policies, beside what the deployed clients answer."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from kaizen_security.contract import reasons
from kaizen_security.contract.bundle import decode_policy
from kaizen_security.contract.codec import decode_action
from kaizen_security.contract.compiled import compile_policies
from kaizen_security.contract.errors import Misconfigured

VECTORS = json.loads((Path(__file__).parents[2] / "spec" / "vectors" / "policy.json").read_text())["vectors"]


def answers(vector):
    compiled = compile_policies([decode_policy(policy) for policy in vector["policies"]])
    memory = compiled.correlation()
    for document in vector["actions"]:
        action = decode_action({**document, "run_id": "run"})
        verdict, risky = compiled.decide(action), memory.see(action)
        if verdict.allowed and risky is not None and compiled.correlates:
            yield {"decision": "block", "reason": reasons.CORRELATION, "kinds": [risky.kind]}
        else:
            yield {
                "decision": verdict.decision.value,
                "reason": verdict.reason,
                "kinds": [finding.kind for finding in verdict.evidence],
            }


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_policy(vector):
    if isinstance(vector["expected"], dict):
        with pytest.raises(Misconfigured) as caught:
            compile_policies([decode_policy(policy) for policy in vector["policies"]])
        assert re.search(vector["expected"]["refused"], str(caught.value)), vector["why"]
        return
    for answer, expected in zip(answers(vector), vector["expected"], strict=True):
        assert {key: answer[key] for key in expected} == expected, vector["why"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_where_we_differ_from_the_deployed_clients_we_are_stricter_and_say_why(vector):
    expected, deployed = vector["expected"], vector["deployed"]
    if isinstance(expected, dict) or isinstance(deployed, dict):
        assert isinstance(expected, dict)
        assert isinstance(deployed, dict) or vector["differs"]
        return
    pairs = [
        (ours["decision"], ours["reason"], theirs["decision"], theirs["reason"])
        for ours, theirs in zip(expected, deployed, strict=True)
    ]
    differs = any((ours, why) != (theirs, theirs_why) for ours, why, theirs, theirs_why in pairs)
    assert differs == ("differs" in vector)
    assert not any(ours == "allow" and theirs == "block" for ours, _, theirs, _ in pairs)


def test_ids_are_unique():
    assert len({vector["id"] for vector in VECTORS}) == len(VECTORS)
