"""Settings that every test shares."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Two shared cores: a deadline per example measures the neighbours, not us.
settings.register_profile(
    "ci", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow], database=None
)
settings.register_profile("deep", deadline=None, max_examples=2000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# What a shell starts in its background ignores SIGINT, and so would every process of a test; some tests send one, and wait.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

TESTS = Path(__file__).parent
REAL_PARTS = [TESTS / name for name in ("deploy", "docs", "e2e", "kernel", "soak")]


def pytest_collection_modifyitems(items):
    """Tests that drive other processes, browsers and the kernel may be disturbed by the machine: they are tried twice.

    What passed only then is named at the end of the run (``-rR``) with its first failure, and is a defect to be mended; what
    decides, learns and stores (units, laws, vectors) is tried once (ADR 0011).
    """
    for item in items:
        if any(place in item.path.parents for place in REAL_PARTS):
            item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_terminal_summary(terminalreporter):
    """Why each first try failed: without it nobody could mend what passes the second time."""
    for report in terminalreporter.stats.get("rerun", ()):
        terminalreporter.section(f"first try of {report.nodeid}", sep="_")
        terminalreporter.line(report.longreprtext)
