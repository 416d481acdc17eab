"""Lookup: what policy, declaration and baseline say of one action, asked together.

All three are about where it goes, so its target is read once, and whether it reaches a network is decided once. Nothing is made of
what they do not object to. ``benchmarks/inspect.py`` measures it; ``tests/properties/test_observer_lookup.py`` holds it to the
three asked one after another.
"""

from __future__ import annotations

from typing import NamedTuple

from kaizen_security.contract import canonical
from kaizen_security.contract.action import Action
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.verdict import Verdict
from kaizen_security.observer.baseline import Baseline, Feature, shown
from kaizen_security.observer.rules import Rules


class Looked(NamedTuple):
    """``policy``: its verdict, of no action in particular; ``undeclared``: tool first; ``news``: new to the baseline."""

    policy: Verdict
    undeclared: tuple[Finding, ...]
    news: tuple[Feature, ...]


def look_up(rules: Rules, baseline: Baseline, action: Action) -> Looked:
    """Ask all three. Changes nothing, and never raises."""
    kind, tool, target = action.kind, action.tool, action.target
    place = canonical.target(target)
    reached = canonical.reached(kind, target, place) if target else None
    said = rules.policy.look(tool, action.publisher, target, action.hash, place)
    beyond = rules.declared.judge(tool, target, reached)
    news = baseline.unknown(kind, tool, action.source, "" if reached is None else shown(reached))
    return tuple.__new__(Looked, (said, beyond, news))
