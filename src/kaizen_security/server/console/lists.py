"""Lists as people type them: one entry a line. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

MAX_LIST_FORM: Final = 1 << 20
"""Bytes of a form that holds lists."""


def entries(said: str) -> list[str]:
    """The entries of a text area: lines that say something, without the blanks around them, each once."""
    # Not splitlines, which takes characters for line ends that may stand in a name.
    return list(dict.fromkeys(line.strip() for line in said.split("\n") if line.strip()))


def typed(values: Iterable[str]) -> str:
    """``entries`` gives them back."""
    return "\n".join(values)
