"""Tests on the real kernel: as root here and in CI, skipped with the kernel's own reason elsewhere."""

from __future__ import annotations

import pytest

from kaizen_security.collectors.kernel.collector import Collector, NotHere
from kaizen_security.collectors.kernel.shapes import Agent


@pytest.fixture
def collector():
    try:
        started = Collector.start()
    except NotHere as err:
        pytest.skip(f"no kernel rung here: {err}")
    with started:
        started.serve(0, flags=Agent.LIVE | Agent.WATCHED)
        yield started


@pytest.fixture
def agent(collector):
    from tests.kernel.marked import Marked

    return Marked(collector)
