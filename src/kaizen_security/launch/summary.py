"""The last lines of a run."""

from __future__ import annotations

from kaizen_security.launch.plan import Outcome


def summary(agent: str, outcome: Outcome) -> str:
    """How it ended, what was counted, what was lost."""
    lines = [
        f"{agent} ended with status {outcome.status} after {outcome.seconds:.1f} s ({outcome.reached.way.value} rung)"
    ]
    if outcome.counts:
        lines.append("  seen: " + ", ".join(f"{n} {name}" for name, n in sorted(outcome.counts.items())))
    if outcome.lost:
        lines.append("  LOST: " + ", ".join(f"{n} {name}" for name, n in sorted(outcome.lost.items())))
    return "\n".join(lines)
