"""The one place where time and chance are taken; everything else is given them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from typing import TypeAlias

Clock: TypeAlias = Callable[[], float]
"""Gives Unix seconds."""


def now() -> float:
    """Unix seconds."""
    return time.time()


def new_id() -> str:
    """128 random bits as hex."""
    return secrets.token_hex(16)


def chance() -> float:
    """A random number from 0 up to 1."""
    return secrets.randbelow(1 << 30) / (1 << 30)
