"""Workers of ``multiprocessing``: how a forked one ends."""

from __future__ import annotations

import sys
import weakref
from typing import Protocol


class Closing(Protocol):
    """What has to be closed when its process ends."""

    def close(self) -> None:
        """Close it."""


def close_with_worker(thing: Closing) -> None:
    """In a forked child: have ``thing`` closed when the child ends, if it is a worker.

    Such a worker runs no exit functions (Python 3.11) or has none any more (3.13), only multiprocessing's own finalizers, and those
    are cleared before its hooks for forks run; so a hook registers the finalizer.
    """
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.register_after_fork(thing, _finalize)


def _finalize(thing: Closing) -> None:
    from multiprocessing import util

    util.Finalize(None, _close, args=(weakref.ref(thing),), exitpriority=100)


def _close(ref: weakref.ref[Closing]) -> None:
    thing = ref()
    if thing is not None:
        thing.close()
