"""What the judge holds after many runs is what its bounds let it hold."""

from __future__ import annotations

import asyncio
import gc
import logging

from benchmarks.sandbox import DECLARATION
from benchmarks.sandbox_memory import one
from kaizen_security.observer.gap.expectation import read_expectation
from kaizen_security.observer.gap.ledger import Bounds, Ledger
from kaizen_security.runtime import company
from kaizen_security.sandbox.run import Sandbox
from kaizen_security.sandbox.settings import Settings

RUNS = 150
FEW = 8 * RUNS
"""Objects: a gap that is kept to be shown is six, and a thousand of them are kept;
a run that stayed would be eight more at the least.
"""


def test_runs_that_are_over_leave_nothing_behind_once_the_bounds_are_reached(tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.CRITICAL, "kaizen_security")  # what is logged is kept by the test's own handler

    async def held():
        expectation = read_expectation(DECLARATION)
        sandbox = Sandbox(Settings(agent="bench", data=tmp_path, expectation=expectation, declared=True))
        # The same as it ships, reached sooner.
        ledger = sandbox.gaps.ledger = Ledger("bench", expectation, bounds=Bounds(runs=16, effects=32))
        sandbox.parts.inspector._remembered = 64
        monkeypatch.setattr(company, "MOST_ASKED", 16)
        counts = []
        for number in range(1, 2 * RUNS + 1):
            await one(sandbox, number)
            if number % RUNS == 0:
                ledger._tidy()
                gc.collect()
                counts.append(len(gc.get_objects()))
        return counts

    before, after = asyncio.run(held())
    assert after - before < FEW
