"""How the sidecar's interpreter is set."""

from __future__ import annotations

import subprocess
import sys

ASKED = """
import gc, sys
from kaizen_security.sidecar import run
from kaizen_security.sidecar.interpreter import answer_first
before = sys.getswitchinterval()
run.answer_first()
assert run.answer_first is answer_first
assert sys.getswitchinterval() <= 0.001 < before, sys.getswitchinterval()
assert gc.get_freeze_count() > 1000
assert gc.get_threshold()[0] >= 10_000
"""


def test_the_thread_that_answers_does_not_wait_long_for_another_ones_turn():
    subprocess.run([sys.executable, "-c", ASKED], check=True)
