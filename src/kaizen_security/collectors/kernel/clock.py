"""Where the collector takes time and chance; everything else of it is given them."""

from __future__ import annotations

import secrets
import time


def booted() -> float:
    """Unix seconds when CLOCK_BOOTTIME, by which the programs tell time, was 0."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)


def monotonic_ns() -> int:
    """CLOCK_MONOTONIC in nanoseconds, by which the programs see whether anybody attends them."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def random64() -> int:
    """64 random bits."""
    return secrets.randbits(64)
