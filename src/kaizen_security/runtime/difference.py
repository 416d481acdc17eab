"""Difference: the changed verdicts of a counterfactual, counted and grouped by agent, tool and destination. Bounded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from kaizen_security.contract.action import Json
from kaizen_security.contract.fields import rfc3339
from kaizen_security.observer.baseline import destination
from kaizen_security.runtime.counterfactual import Change, Compared

MAX_GROUPS = 5000
"""Groups of one kind of change; actions beyond are counted as of further groups."""


@dataclass(frozen=True, slots=True)
class Group:
    """Actions that changed alike; ``example`` is the first of them."""

    change: Change
    agent: str
    tool: str
    destination: str
    count: int
    example: Compared


class Difference:
    """Counts what is compared and keeps one example a group."""

    def __init__(self) -> None:
        self.actions = 0
        self.counts: Counter[Change] = Counter()
        self.missing: Counter[str] = Counter()
        self.further: Counter[Change] = Counter()
        self._groups: dict[Change, Counter[tuple[str, str, str]]] = {}
        self._examples: dict[tuple[Change, tuple[str, str, str]], tuple[int, Compared]] = {}

    def add(self, one: Compared, place: int = 0) -> None:
        """Take one in. ``place``: where it stands among all, so that parts that were counted apart come together in order."""
        self.actions += 1
        self.counts[one.change] += 1
        if one.change is Change.SAME:
            return
        self.missing.update(one.missing)
        groups = self._groups.setdefault(one.change, Counter())
        key = (one.action.agent, one.action.tool, destination(one.action) or _place(one))
        if key not in groups and len(groups) >= MAX_GROUPS:
            self.further[one.change] += 1
            return
        groups[key] += 1
        if (one.change, key) not in self._examples:
            self._examples[one.change, key] = (place, one)

    def merge(self, other: Difference) -> None:
        """Take in what was counted apart, of other agents."""
        self.actions += other.actions
        self.counts += other.counts
        self.missing += other.missing
        self.further += other.further
        for change, groups in other._groups.items():
            self._groups.setdefault(change, Counter()).update(groups)
        self._examples.update(other._examples)

    def groups(self, change: Change) -> Iterator[Group]:
        """The largest first, then as they came."""
        found = self._groups.get(change, Counter())
        for key in sorted(found, key=lambda key: (-found[key], self._examples[change, key][0], key)):
            yield Group(change, *key, found[key], self._examples[change, key][1])

    @property
    def changed(self) -> int:
        """Actions whose verdict would be another."""
        return sum(n for change, n in self.counts.items() if change not in (Change.SAME, Change.CANNOT_TELL))

    def to_json(self, most: int = MAX_GROUPS) -> dict[str, Json]:
        """For machines: counts, then the groups with an example each."""
        groups: list[Json] = []
        for change in Change:
            for place, group in enumerate(self.groups(change)):
                if place >= most:
                    break
                groups.append(_document(group))
        return {
            "actions": self.actions,
            "changes": {change.value: self.counts[change] for change in Change},
            "missing_facts": dict(self.missing.most_common()),
            "groups": groups,
            "actions_of_further_groups": {change.value: n for change, n in self.further.items() if n},
        }


def _place(one: Compared) -> str:
    # A file or a command is no destination, but where it was done is what tells groups apart.
    return one.action.target[:200] if one.action.kind in ("file", "exec") else ""


def _document(group: Group) -> dict[str, Json]:
    one = group.example
    return {
        "change": group.change.value,
        "agent": group.agent,
        "tool": group.tool or None,
        "destination": group.destination or None,
        "actions": group.count,
        "example": {
            "row": one.row or None,
            "at": rfc3339(one.at) or None,
            "kind": one.action.kind,
            "target": one.action.target or None,
            "before": {"decision": one.before.decision.value, "reason": one.before.reason},
            "after": {"decision": one.after.decision.value, "reason": one.after.reason},
            "missing": list(one.missing),
        },
    }
