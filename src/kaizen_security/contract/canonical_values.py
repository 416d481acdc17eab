"""Building frozen values on the hot path.

A frozen dataclass sets each field by ``object.__setattr__``: 1 µs for seven fields, 2 for nine, for each action that is judged.
Here a value is filled in a mould, a class with the same slots that is not frozen, and then given its own class: a fifth of that
(``benchmarks/inspect.py``). Only for values that never leave their maker half-filled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def builder(cls: type[T]) -> Callable[..., T]:
    """A function that takes every field of the slotted dataclass ``cls``, in order, and makes it. No defaults, no checks."""
    fields: tuple[str, ...] = cls.__slots__  # type: ignore[attr-defined]
    lines = (
        f"def build({', '.join(fields)}):",
        "    new_ = mould()",
        *(f"    new_.{field} = {field}" for field in fields),
        "    new_.__class__ = cls",
        "    return new_",
    )
    names: dict[str, object] = {"cls": cls, "mould": type(cls.__name__, (), {"__slots__": fields})}
    # As dataclasses make __init__: a loop over the fields would cost as much again as all of them. Only our own names are in it.
    exec("\n".join(lines), names)  # noqa: S102
    build: Callable[..., T] = names["build"]  # type: ignore[assignment]
    return build
