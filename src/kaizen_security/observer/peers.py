"""Peers: what the other agents of one role do, as far as one worker can be compared with it.

A role is what several agents declare alike, or the name that they share but for a number at its end. Of each agent only how often
it calls which of its tools is compared; hashes and counts, nothing else of one agent reaches another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import comb

from kaizen_security.contract.declaration import Declaration
from kaizen_security.observer.baseline import Baseline
from kaizen_security.observer.behaviour import calls
from kaizen_security.observer.effects import only_reads
from kaizen_security.observer.entities import fingerprint, words_of_name

FEWEST = 2
"""Other agents, at the least, that make a group."""
ENOUGH = 12
"""Calls of the others before a share of them says something."""
MOST_RUNS = 64

_NUMBERED = re.compile(r"[-_. #]?\d+$")


def role(agent: str, declaration: Declaration) -> str:
    """What an agent's group is known by, ``""`` when it has none: what it declared, else its name without the number at its end."""
    if declaration.tools or declaration.destinations:
        parts = (
            sorted(declaration.tools),
            sorted(declaration.destinations),
            declaration.purpose,
            sorted(declaration.data),
        )
        return f"declared {fingerprint(repr(parts)):016x}"
    stem = _NUMBERED.sub("", agent)
    return f"named {stem}" if stem and stem != agent else ""


@dataclass(frozen=True, slots=True)
class Habit:
    """How often each tool that changes something was called by one agent: by the tool's hash. ``runs`` that it learned from."""

    runs: int = 0
    writes: Mapping[int, float] = field(default_factory=dict)


def habit(baseline: Baseline) -> Habit:
    """What of one agent's baseline its peers may be compared with."""
    writes = {}
    for name in baseline.learner("told", "tool").values():
        words = words_of_name(name)
        if not words or only_reads(words):
            continue
        tool = fingerprint(name)
        usual = baseline.behaviour.size.whole.sums(calls(tool, 1).key)
        if usual is not None:
            writes[tool] = usual
    return Habit(baseline.habits.runs, writes)


@dataclass(frozen=True, slots=True)
class Peers:
    """The other agents of a role, together. ``members`` of them have learned from at least one run."""

    members: int = 0
    writes: Mapping[int, float] = field(default_factory=dict)

    @classmethod
    def of(cls, habits: Iterable[Habit]) -> Peers:
        """Their sum."""
        members, writes = 0, dict[int, float]()
        for one in habits:
            if not one.runs:
                continue
            members += 1
            for tool, count in one.writes.items():
                writes[tool] = writes.get(tool, 0.0) + count
        return cls(members, writes)

    def share(self, tool: int) -> float | None:
        """The tool's share of the group's calls that change something, with half a call on top; None while too little is known."""
        return share(self.writes, tool) if self.members >= FEWEST else None


NOBODY = Peers()
"""An agent that has no group."""


def share(writes: Mapping[int, float], tool: int) -> float | None:
    """The tool's share of some calls, with half a call on top, so that it is never 0; None before ``ENOUGH`` of them."""
    total = sum(writes.values())
    return (writes.get(tool, 0.0) + 0.5) / (total + 1.0) if total >= ENOUGH else None


def tail(times: int, of: int, likely: float) -> float:
    """Probability that a thing which is as likely as ``likely`` happens at least ``times`` times ``of`` so many."""
    of = min(of, MOST_RUNS)
    times = min(times, of)
    return min(1.0, sum(comb(of, n) * likely**n * (1 - likely) ** (of - n) for n in range(times, of + 1)))
