"""The signature of a flag, and what may be suppressed at all, as ``spec/vectors/suppression.json`` says."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from kaizen_security.contract.boundary import boundary_key
from kaizen_security.contract.codec import decode_action
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.suppression import NEVER, Suppressions, can_suppress, signature
from kaizen_security.contract.verdict import Verdict
from kaizen_security.observer.weigh import TABLE, Blocks

CASES = json.loads((Path(__file__).parents[2] / "spec" / "vectors" / "suppression.json").read_text())["cases"]
KEY = boundary_key(b"k" * 32)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_a_signature_is_that_of_the_vectors(case):
    action = decode_action(case["action"])
    found = tuple(
        Finding(one["kind"], one["value"], one["source"], detection=one["detection"]) for one in case["evidence"]
    )
    assert hashlib.sha256(case["text"].encode()).hexdigest() == case["signature"]
    assert signature(action, found) == case["signature"]
    assert can_suppress(found) is case["suppressible"]
    verdict = Verdict("block", "why", found)
    settled = Suppressions(frozenset((case["signature"],)), KEY).settle(action, verdict)
    if case["suppressible"]:
        assert (settled.allowed, settled.flagged) == (True, False)
        assert settled.notes == ("not flagged, since a person called this a false positive: why",)
    else:
        assert settled is verdict


def test_what_blocks_in_every_mode_is_never_suppressed():
    always = {name for name, weight in TABLE.items() if weight.blocks is Blocks.ALWAYS}
    assert always <= NEVER
