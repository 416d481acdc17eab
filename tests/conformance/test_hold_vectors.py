"""Golden vectors of held actions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.hold import decode_hold, encode_hold
from tests.conformance.test_schemas import VALID

VECTORS = json.loads((Path(__file__).parents[2] / "spec" / "vectors" / "holds.json").read_text())


@pytest.mark.parametrize("case", VECTORS["valid"], ids=lambda case: case["id"])
def test_a_hold_comes_back_as_it_is(case):
    VALID["hold"].validate(case["hold"])
    assert encode_hold(decode_hold(case["hold"])) == case["hold"]


@pytest.mark.parametrize("case", VECTORS["invalid"], ids=lambda case: case["id"])
def test_a_document_that_is_no_hold_is_refused_with_its_field(case):
    assert list(VALID["hold"].iter_errors(case["hold"]))
    with pytest.raises(InvalidInput) as refused:
        decode_hold(case["hold"])
    assert refused.value.field == case["field"]
