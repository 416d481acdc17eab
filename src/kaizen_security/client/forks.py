"""Forks: a child has its parent's locks, sockets and files, but none of its threads. What knows what to do about that is told."""

from __future__ import annotations

import os
import weakref
from typing import Protocol, TypeVar


class Forked(Protocol):
    """What has to do something in a forked child, before anything else of the child runs."""

    def _after_fork(self) -> None: ...


T = TypeVar("T", bound=Forked)


def alive(kind: type[T]) -> weakref.WeakSet[T]:
    """A set for all of a kind that are alive: each is told of a fork, in the child. Kinds in the order of their sets."""
    known: weakref.WeakSet[T] = weakref.WeakSet()

    def tell() -> None:
        for one in list(known):
            one._after_fork()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=tell)
    return known
