"""Our own threads inside the agent's process: how they start, and that what they open and connect to is no action of the agent."""

from __future__ import annotations

import threading
from collections.abc import Callable

_OWN = threading.local()


def is_mine() -> bool:
    """Whether the current thread is one of ours."""
    return getattr(_OWN, "ours", False)


def thread(work: Callable[[], object], name: str) -> threading.Thread:
    """A thread of ours, not started yet, which does not keep the process from ending."""

    def ours() -> None:
        _OWN.ours = True
        work()

    return threading.Thread(target=ours, name=name, daemon=True)


def start(made: threading.Thread) -> bool:
    """Start it; false when the interpreter is going down and starts no more threads."""
    try:
        made.start()
    except RuntimeError:
        return False
    return True
