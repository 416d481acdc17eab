"""Where the collector takes time and chance; everything else of it is given them."""

from __future__ import annotations

import secrets
import time


def began() -> float:
    """Unix seconds when CLOCK_MONOTONIC, by which the programs tell time, was 0: by the wall clock as it stands now."""
    return time.time() - time.clock_gettime(time.CLOCK_MONOTONIC)


def monotonic_ns() -> int:
    """CLOCK_MONOTONIC in nanoseconds."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def random64() -> int:
    """64 random bits."""
    return secrets.randbits(64)
