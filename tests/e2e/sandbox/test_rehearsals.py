"""The cases of the docs, each in one command, with real processes and sockets."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.architecture.tree import ROOT


@pytest.mark.parametrize("name", ["bedrock", "research"])
def test_a_rehearsal_catches_the_lie_and_nothing_else(name, tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "sandbox" / f"{name}.py")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Trace-vs-egress gap: the agent reported only" in done.stdout
