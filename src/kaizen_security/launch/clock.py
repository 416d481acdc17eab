"""Where the launcher takes wall time and chance."""

from __future__ import annotations

import secrets
import time


def now() -> float:
    """Unix seconds."""
    return time.time()


def new_id() -> str:
    """128 random bits, hex."""
    return secrets.token_hex(16)
