"""Descriptors: how many connections a process can have. One that has none left accepts nobody, and opens no file either."""

from __future__ import annotations

import sys

SPARE = 256
"""Descriptors for everything else; of few, half."""


def make_room(wanted: int) -> int:
    """Let the process have so many descriptors for connections, as the system permits; how many it can have, at least one."""
    if sys.platform == "win32":
        return wanted
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted + SPARE
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    if soft == resource.RLIM_INFINITY or soft >= most:
        return wanted if soft == resource.RLIM_INFINITY else min(wanted, _beside_others(soft))
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    except (OSError, ValueError):
        # A system may have a bound of its own that no limit says (kern.maxfilesperproc), or let nobody change any.
        most = soft
    return min(wanted, _beside_others(most))


def _beside_others(descriptors: int) -> int:
    return max(1, descriptors - min(SPARE, descriptors // 2))
