"""Building frozen values on the hot path.

A frozen dataclass sets each field by ``object.__setattr__``: 1 µs for seven fields, 2 for nine, for each action that is judged.
Its slots
can be filled for a third of that (``benchmarks/inspect.py``). Only for values that never leave their maker half-filled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def setters(cls: type) -> tuple[Callable[[object, object], None], ...]:
    """What sets each field of the slotted dataclass ``cls``, in order, frozen or not."""
    return tuple(cls.__dict__[name].__set__ for name in cls.__slots__)  # type: ignore[attr-defined]


def builder(cls: type[T]) -> Callable[..., T]:
    """A function that takes every field of the slotted dataclass ``cls``, in order, and makes it. No defaults, no checks."""
    puts = setters(cls)
    new = object.__new__

    def build(*values: object) -> T:
        made: T = new(cls)
        for put, value in zip(puts, values):  # noqa: B905 being strict costs as much as all the fields
            put(made, value)
        return made

    return build
