"""The report shapes of deployed clients, and what is refused: ``spec/vectors/reports.json``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kaizen_security.contract import codec
from kaizen_security.contract.errors import InvalidInput

VECTORS = json.loads((Path(__file__).parents[2] / "spec/vectors/reports.json").read_text())


@pytest.mark.parametrize("vector", VECTORS["reports"], ids=lambda vector: vector["id"])
def test_a_report_means_what_the_vector_says(vector):
    report = codec.decode_report(vector["input"])
    assert codec.encode_action(report.action) == vector["action"]
    assert (report.verdict and codec.encode_verdict(report.verdict)) == vector["verdict"]
    assert report.action.rung == vector["rung"]


@pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda vector: vector["id"])
def test_a_wrong_report_is_refused_by_the_field(vector):
    with pytest.raises(InvalidInput) as said:
        codec.decode_report(vector["input"])
    assert said.value.field == vector["field"]
