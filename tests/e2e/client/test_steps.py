"""Steps that a sidecar does not take together are taken apart: what a run has read must not be lost by how much it was."""

from __future__ import annotations

import pytest

from kaizen_security import Kaizen
from kaizen_security.contract.step import Result
from tests.e2e.sidecar_process import Process


@pytest.fixture
def sidecar(tmp_path):
    process = Process(tmp_path).start()
    yield process
    process.stop()


def told(sidecar, *results):
    """A client that was told of these results and then asked a question."""
    kaizen = Kaizen(agent="a", sidecar=f"unix://{sidecar.socket}", data=str(sidecar.data / "client"), deadline=30)
    for result in results:
        kaizen._link.note(result)
    assert kaizen.inspect(tool="search").decision == "allow"
    return kaizen._link


def test_long_results_that_are_too_long_together_are_all_taken(sidecar):
    results = [
        Result(run_id="r", action_id=f"x{n}", content="lorem ipsum " * 5_000, agent="a", at=1.0) for n in range(50)
    ]
    link = told(sidecar, *results)
    assert (link.lost, link.waiting) == ({}, 0)


def test_one_that_is_refused_takes_no_other_with_it(sidecar):
    results = [Result(run_id="r", action_id=f"x{n}", content="fine", agent="a", at=1.0) for n in range(60)]
    results[23] = Result(run_id="r" * 10_000, action_id="x", content="too long a name", agent="a", at=1.0)
    link = told(sidecar, *results)
    assert (link.lost, link.waiting) == ({"steps: refused by the sidecar": 1}, 0)
