"""How much an agent may move to a destination, and how often it may go there: token buckets, so a slow trickle is bounded too.

A budget counts everything that it matches together, or each host for itself. What is counted is bounded: when there is no room for
another bucket, newcomers share one, so that a flood of names can neither push out what others have used nor start afresh.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from kaizen_security.contract import reasons
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.declared import CompiledDeclaration, compile_declaration
from kaizen_security.contract.finding import Finding
from kaizen_security.egress.http1 import Destination
from kaizen_security.egress.rules import Refusal

MAX_METERS = 16384
"""Sets of buckets that are kept apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """``destination`` as in a declaration, ``*``: any. ``bytes_up``, ``bytes_down``, ``connections``: at most that many in
    ``seconds``, of one agent; 0: not limited. ``each``: of each host for itself.
    """

    destination: str
    bytes_up: int = 0
    bytes_down: int = 0
    connections: int = 0
    seconds: float = 3600.0
    each: bool = False


class OverBudget(Exception):
    """More has moved than may."""

    def __init__(self, budget: Budget) -> None:
        super().__init__()
        self.budget = budget


class Bucket:
    """Holds ``limit`` at first, and gets it back evenly over ``seconds``."""

    __slots__ = ("_at", "_left", "_limit", "_rate")

    def __init__(self, limit: int, seconds: float, now: float) -> None:
        self._limit = float(limit)
        self._rate = limit / seconds
        self._left = self._limit
        self._at = now

    def take(self, n: int, now: float) -> bool:
        """Take ``n``; False when nothing is left. One take may go beyond what is left: bytes that have come cannot be unsent."""
        if not self._limit:
            return True
        self._regain(now)
        if self._left < 1.0:
            return False
        self._left -= n
        return True

    def opens(self, now: float) -> bool:
        """Whether a connection is worth beginning: a hundredth is there, so a cut one is not begun again for a few bytes."""
        self._regain(now)
        return self._left >= self._limit / 100

    def _regain(self, now: float) -> None:
        self._left = min(self._limit, self._left + (now - self._at) * self._rate)
        self._at = now


class Meter:
    """The buckets of one budget for one agent (and host)."""

    __slots__ = ("budget", "connections", "down", "up")

    def __init__(self, budget: Budget, now: float) -> None:
        self.budget = budget
        self.up = Bucket(budget.bytes_up, budget.seconds, now)
        self.down = Bucket(budget.bytes_down, budget.seconds, now)
        self.connections = Bucket(budget.connections, budget.seconds, now)

    def begin(self, now: float) -> str:
        """One more connection: what is used up, ``""`` when nothing is."""
        if not (self.up.opens(now) and self.down.opens(now)):
            return "bytes"
        return "" if self.connections.take(1, now) else "connections"


Meters: TypeAlias = Sequence[Meter]
Metered: TypeAlias = Callable[[int], None]
"""Told how many bytes are about to move, or (spliced) have moved. Raises OverBudget."""


def metered(meters: Meters, now: Callable[[], float], *, up: bool) -> Metered | None:
    """Counts the bytes of one direction; None where nothing limits them."""
    limited = [meter for meter in meters if (meter.budget.bytes_up if up else meter.budget.bytes_down)]
    if not limited:
        return None

    def spend(n: int) -> None:
        for meter in limited:
            if not (meter.up if up else meter.down).take(n, now()):
                raise OverBudget(meter.budget)

    return spend


class Budgets:
    """Every budget and what is used of it. Belongs to the loop's thread."""

    def __init__(self, budgets: Sequence[Budget]) -> None:
        self._budgets = tuple((budget, _matcher(budget.destination)) for budget in budgets)
        self._meters: dict[tuple[int, str, str], Meter] = {}
        self.shared = 0
        """Newcomers that got no bucket of their own."""

    def begin(self, agent: str, where: Destination, now: float) -> Refusal | Meters:
        """The meters that a connection of ``agent`` to ``where`` runs through, or why there may be none."""
        if not self._budgets:
            return ()
        meters = []
        for number, (budget, matches) in enumerate(self._budgets):
            if matches is None or matches.destination(where.name):
                meters.append(self._meter(number, budget, agent, where.host if budget.each else "", now))
        for meter in meters:
            used_up = meter.begin(now)
            if used_up:
                return refusal(meter.budget, where.name, used_up)
        return meters

    def _meter(self, number: int, budget: Budget, agent: str, host: str, now: float) -> Meter:
        key = (number, agent, host)
        found = self._meters.get(key)
        if found is None:
            if len(self._meters) >= MAX_METERS:
                self.shared += 1
                key = (number, "", "")
                found = self._meters.get(key)
                if found is not None:
                    return found
            found = self._meters[key] = Meter(budget, now)
        return found


def _matcher(destination: str) -> CompiledDeclaration | None:
    return None if destination == "*" else compile_declaration(Declaration(destinations=(destination,)))


def refusal(budget: Budget, target: str, used_up: str) -> Refusal:
    """What is said of a connection that would go, or has gone, beyond a budget."""
    limits = {"bytes up": budget.bytes_up, "bytes down": budget.bytes_down, "connections": budget.connections}
    expected = ", ".join(f"{limit} {what}" for what, limit in limits.items() if limit)
    finding = Finding(
        kind="budget used up",
        value=target,
        source="egress",
        detection="egress-budget",
        field="target",
        expected=f"at most {expected} in {budget.seconds:g} s to {budget.destination}",
        observed=f"{used_up} used up",
        advice="Wait, or have the owner of the proxy raise the budget in its `budgets`.",
        attack="allowed-host",
    )
    return Refusal(
        code="budget",
        reason=reasons.blocked_by_policy([finding.kind]),
        advice=finding.advice,
        evidence=(finding,),
    )
