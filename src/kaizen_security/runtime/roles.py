"""Groups of agents that share a role, so that one worker can be compared with the others. Bounded; safe for threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import NamedTuple

from kaizen_security.observer.observer import Observer
from kaizen_security.observer.peers import NOBODY, Habit, Peers, habit, role
from kaizen_security.observer.rules import Rules

MOST_GROUPS = 256
MOST_MEMBERS = 64
"""Members of one group; who was heard of longest ago goes first."""


class Known(NamedTuple):
    """What was last told and heard for one agent: its group under which rules, runs that were told, and the group's state."""

    rules: Rules | None = None
    group: tuple[str, str] = ("", "")
    runs: int = -1
    state: int = -1


NOTHING = Known()


class Group:
    """Members' habits by name; ``state`` changes whenever one of them does."""

    __slots__ = ("members", "state")

    def __init__(self) -> None:
        self.members: OrderedDict[str, Habit] = OrderedDict()
        self.state = 0


class Roles:
    """Every group of one process."""

    def __init__(self) -> None:
        self._groups: OrderedDict[tuple[str, str], Group] = OrderedDict()
        self._lock = threading.Lock()
        self.evicted = 0

    def acquaint(self, organisation: str, agent: str, observer: Observer, known: Known) -> Known:
        """Tell the group what the agent has learned since the last time, and the agent what its peers do: what is known now."""
        rules, runs = observer.rules, observer.baseline.habits.runs
        group = known.group if known.rules is rules else (organisation, role(agent, rules.declaration))
        if not group[1]:
            observer.peers = NOBODY
            return Known(rules, group, runs, 0)
        with self._lock:
            if known.group != group and known.group in self._groups:
                self._groups[known.group].members.pop(agent, None)
                self._groups[known.group].state += 1
            found = self._group(group)
            if known.group != group or known.runs != runs:
                found.members[agent] = habit(observer.baseline, rules.declaration)
                found.members.move_to_end(agent)
                found.state += 1
                if len(found.members) > MOST_MEMBERS:
                    found.members.popitem(last=False)
                    self.evicted += 1
            if known.group != group or known.state != found.state:
                observer.peers = Peers.of(one for name, one in found.members.items() if name != agent)
            return Known(rules, group, runs, found.state)

    def _group(self, key: tuple[str, str]) -> Group:
        found = self._groups.get(key)
        if found is None:
            found = self._groups[key] = Group()
            if len(self._groups) > MOST_GROUPS:
                self._groups.popitem(last=False)
                self.evicted += 1
        return found
