"""The golden vectors of declarations."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from kaizen_security.contract.codec import decode_action, decode_declaration
from kaizen_security.contract.declared import compile_declaration
from kaizen_security.contract.errors import Misconfigured

VECTORS = json.loads((Path(__file__).parents[2] / "spec" / "vectors" / "declaration.json").read_text())["vectors"]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["id"])
def test_declaration(vector):
    declaration = decode_declaration(vector["declaration"])
    if isinstance(vector["expected"], dict):
        with pytest.raises(Misconfigured) as caught:
            compile_declaration(declaration)
        assert re.search(vector["expected"]["refused"], str(caught.value)), vector["why"]
        return
    found = compile_declaration(declaration).undeclared(decode_action(vector["action"]))
    assert [{"kind": finding.kind, "value": finding.value} for finding in found] == vector["expected"], vector["why"]


def test_ids_are_unique():
    assert len({vector["id"] for vector in VECTORS}) == len(VECTORS)
