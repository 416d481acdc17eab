"""Building frozen values on the hot path.

A frozen dataclass sets each field by ``object.__setattr__``: 1 µs for seven fields, 2 for nine, for each action that is judged.
Its slots
can be filled for a third of that (``benchmarks/inspect.py``). Only for values that never leave their maker half-filled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def builder(cls: type[T]) -> Callable[..., T]:
    """A function that takes every field of the slotted dataclass ``cls``, in order, and makes it. No defaults, no checks."""
    puts = tuple(cls.__dict__[name].__set__ for name in cls.__slots__)  # type: ignore[attr-defined]
    new = object.__new__

    def build(*values: object) -> T:
        made: T = new(cls)
        for put, value in zip(puts, values, strict=True):
            put(made, value)
        return made

    return build
