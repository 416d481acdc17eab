"""How the interpreter is set for a process of which one thread answers while agents wait, and all others have time."""

from __future__ import annotations

import gc
import sys

TURN = 0.0005
"""Seconds after which a thread that saves, sends or decodes lets the one that answers go on. Python's own five milliseconds are
more than a verdict may take.
"""


def answer_first() -> None:
    """Call once, when all is in place."""
    sys.setswitchinterval(TURN)
    # What the program itself is made of is never garbage: a collection would look through all of it while an agent waits.
    gc.freeze()
    # What steps are made of holds no cycles: looking for some after every 700 objects is work for nothing.
    gc.set_threshold(10_000, 20, 50)
