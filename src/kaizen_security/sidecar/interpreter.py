"""How the interpreter is set for a process of which one thread answers while agents wait, and all others have time."""

from __future__ import annotations

import asyncio
import gc
import resource
import sys
from collections.abc import Callable
from time import monotonic

TURN = 0.0005
"""Seconds after which a thread that saves, sends or decodes lets the one that answers go on. Python's own five milliseconds are
more than a verdict may take.
"""
YOUNG = 2000
"""Objects that may have been added before somebody looks for garbage among them: a third of a millisecond's work."""
AFTER = 0.002
"""Seconds after an answer in which it gets to whoever waits for it, before anybody looks for garbage."""
EVERY = 1.0
"""Seconds between looks that no answer sets off; as many without a question are a quiet moment."""
PATIENCE = 60.0
"""Seconds in which a look through everything waits for a quiet moment."""


def answer_first() -> None:
    """Call once, when all is in place: from then on ``Tidying`` looks for garbage, and nothing else does."""
    sys.setswitchinterval(TURN)
    # Left to itself it looks when so many objects were added, that is in the middle of an answer, and then through up to
    # 200,000 of them: 30 to 110 ms with a few dozen agents, and several hundred for everything (ADR 0030).
    gc.disable()
    # What the program itself is made of is never garbage.
    gc.freeze()


def _peak() -> float:
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


class Tidying:
    """Looks for garbage between answers, never within one, and through each object once.

    What is made for an answer goes by itself; only what holds itself in a ring has to be looked for, which is next to nothing. So
    what a look finds in use is not looked through again, until the process has grown to twice the memory: then everything is, once,
    in a quiet moment. ``memory`` says how much it has, in a unit of its own. Where the interpreter looks by itself, this does not.
    """

    def __init__(self, memory: Callable[[], float] = _peak) -> None:
        self._memory = memory
        self._looked_at = 0.0
        self._asked = 0.0
        self._due = False
        self._waits_since = 0.0

    def answered(self) -> None:
        """An answer was written. Call it in the event loop."""
        self._asked = monotonic()
        self._soon()

    def _soon(self) -> None:
        if not self._due and gc.get_count()[0] >= YOUNG and not gc.isenabled():
            self._due = True
            asyncio.get_running_loop().call_later(AFTER, self.young)

    def young(self) -> None:
        """Look through what was added since the last look."""
        self._due = False
        gc.collect(0)
        gc.freeze()

    async def keep(self) -> None:
        """Look now and then also where nobody asks, and through everything when that is due."""
        self._looked_at = self._looked_at or self._memory()
        while True:
            await asyncio.sleep(EVERY)
            self._soon()
            self.whole()

    def whole(self) -> bool:
        """Look through everything, if the process has grown so much, and nobody has asked for a while; whether that was done."""
        if gc.isenabled() or self._memory() < 2 * self._looked_at:
            return False
        now = monotonic()
        self._waits_since = self._waits_since or now
        if now - self._asked < EVERY and now - self._waits_since < PATIENCE:
            return False
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        self._looked_at, self._waits_since = self._memory(), 0.0
        return True
