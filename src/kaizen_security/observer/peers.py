"""Peers: what the other agents of one role do, as far as one worker can be compared with it.

A role is what several agents declare alike, or the name that they share but for a number at its end. Of each agent only how often
it calls which of its tools is compared; hashes and counts, nothing else of one agent reaches another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import comb

from kaizen_security.contract import canonical
from kaizen_security.contract.declaration import NOTHING_DECLARED, Declaration
from kaizen_security.observer.baseline import Baseline
from kaizen_security.observer.behaviour import calls
from kaizen_security.observer.effects import only_reads
from kaizen_security.observer.entities import fingerprint, words_of_name

FEWEST = 2
"""Other agents, at the least, that make a group."""
ENOUGH = 12
"""Calls of the others before a share of them says something."""
MOST_RUNS = 64

_NUMBERED = re.compile(r"[-_. #]?(?<!\d)\d+$")  # looked for at the first of several digits only


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


@lru_cache(maxsize=256)
def offered(declaration: Declaration) -> tuple[int, ...]:
    """Hashes of the declared tools that change something: what an agent can do, whether or not it ever did."""
    names = map(canonical.permitted, declaration.tools)
    return tuple(sorted({fingerprint(name) for name in names if _changes(name)}))


def _changes(name: str) -> bool:
    words = words_of_name(name)
    return bool(words) and not only_reads(words)


@dataclass(frozen=True, slots=True)
class Habit:
    """How often each tool that changes something was called by one agent: by the tool's hash. ``runs`` that it learned from.

    ``chances``  for each tool that it declares: of all those calls, about how many were made while it had the tool. A tool that
                 was declared this morning was not passed over for a year.
    """

    runs: int = 0
    writes: Mapping[int, float] = field(default_factory=dict)
    chances: Mapping[int, float] = field(default_factory=dict)


def habit(baseline: Baseline, declaration: Declaration = NOTHING_DECLARED) -> Habit:
    """What of one agent's baseline its peers may be compared with."""
    writes = {}
    for name in filter(_changes, baseline.learner("told", "tool").values()):
        tool = fingerprint(name)
        usual = baseline.behaviour.size.whole.sums(calls(tool, 1).key)
        if usual is not None:
            writes[tool] = usual
    habits = baseline.habits
    each = sum(writes.values()) / max(habits.runs, 1)
    return Habit(habits.runs, writes, {tool: each * habits.offered[tool] for tool in offered(declaration)})


@dataclass(frozen=True, slots=True)
class Peers:
    """The other agents of a role, together. ``members`` of them have learned from at least one run."""

    members: int = 0
    writes: Mapping[int, float] = field(default_factory=dict)
    chances: Mapping[int, float] = field(default_factory=dict)

    @classmethod
    def of(cls, habits: Iterable[Habit]) -> Peers:
        """Their sum."""
        known = [one for one in habits if one.runs]
        return cls(len(known), _total(one.writes for one in known), _total(one.chances for one in known))

    def share(self, tool: int) -> float | None:
        """The tool's share of the group's calls that change something, with half a call on top; None while too little is known."""
        return share(self, tool) if self.members >= FEWEST else None


NOBODY = Peers()
"""An agent that has no group."""


def _total(counts: Iterable[Mapping[int, float]]) -> dict[int, float]:
    total = dict[int, float]()
    for one in counts:
        for tool, count in one.items():
            total[tool] = total.get(tool, 0.0) + count
    return total


def share(known: Habit | Peers, tool: int) -> float | None:
    """The tool's share of the calls that could have been of it, with half a call on top, so that it is never 0; at most 1.

    None before ``ENOUGH`` of them. Of a tool that is not declared all calls are taken to be such.
    """
    chances = known.chances.get(tool)
    if chances is None:
        chances = sum(known.writes.values())
    return min(1.0, (known.writes.get(tool, 0.0) + 0.5) / (chances + 1.0)) if chances >= ENOUGH else None


def tail(times: int, of: int, likely: float) -> float:
    """Probability that a thing which is as likely as ``likely`` happens at least ``times`` times ``of`` so many."""
    of = min(of, MOST_RUNS)
    times = min(times, of)
    return min(1.0, sum(comb(of, n) * likely**n * (1 - likely) ** (of - n) for n in range(times, of + 1)))
