"""Outflow: what an agent normally carries where, learned from runs in which nothing was flagged.

Which part of which tool's results goes into which field of which other tool, and how much of it; where each of its credentials is
used; which accounts behind shared hosts it works with. Hashes and counts in fixed room; the parts of several replicas add up
(``learners.parts``). It only says what is habitual: nothing here removes a policy's or a declaration's finding.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from kaizen_security.contract.action import Json
from kaizen_security.contract.fields import obj
from kaizen_security.observer.counts import Counts, Owned
from kaizen_security.observer.entities import fingerprint
from kaizen_security.observer.habits import YOUNG
from kaizen_security.observer.learners.parts import number
from kaizen_security.observer.rooms import Few
from kaizen_security.observer.rows import Rows

FLOWS = 224
SECRETS = 96
PAIRS = 256
TENANTS = 96
"""Tenants remembered, of all services together."""
RARE = 0.1
"""A new tenant is a finding while at most one in ten is expected to be new (Good 1953, as in ``learners.novelty``)."""
LEAST = 12
"""Harmless runs in which something was read and spared before that it goes along says anything."""
PATIENCE = 100
"""Into a field the first flow is free; after it, one new one in so many runs is too many to speak of the next."""


@dataclass(frozen=True, slots=True)
class Taught:
    """What one action teaches when it has completed: hashes only."""

    flows: tuple[int, ...] = ()
    pairs: tuple[int, ...] = ()
    secrets: tuple[int, ...] = ()
    tenants: tuple[tuple[str, int], ...] = ()
    odd: tuple[int, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.flows or self.pairs or self.secrets or self.tenants)


NOTHING_TAUGHT = Taught()


@dataclass(slots=True)
class Outflow:
    """``runs`` learned. ``pairs``: in how many of them a tool was used and a part of what was read before was spared, or a field
    was filled; ``odd``: filled with something that had not gone there before.
    """

    runs: int = 0
    flows: Few = field(default_factory=lambda: Few(FLOWS))
    secrets: Few = field(default_factory=lambda: Few(SECRETS))
    pairs: Owned = field(default_factory=lambda: Owned(PAIRS))
    odd: Counts = field(default_factory=lambda: Counts(PAIRS))
    tenants: Rows = field(default_factory=lambda: Rows(TENANTS, "QI"))

    def learn(self, taught: Iterable[Taught]) -> None:
        """One run in which nothing was flagged. Each flow, pair and tenant counts once, however often it came."""
        parts = tuple(taught)
        self.runs += 1
        for part in parts:
            for flow in part.flows:
                self.flows.add(flow)
            for secret in part.secrets:
                self.secrets.add(secret)
        for pair in {pair for part in parts for pair in part.pairs}:
            self.pairs.add(pair)
        for pair in {pair for part in parts for pair in part.odd}:
            self.odd.add(pair)
        for service, tenant in sorted({one for part in parts for one in part.tenants}):
            self._tenant(service, tenant)

    def _tenant(self, service: str, tenant: int) -> None:
        at = self.tenants.place(tenant)
        if at >= 0:
            self.tenants.columns[0][at] = fingerprint(service)
            self.tenants.columns[1][at] = min(self.tenants.columns[1][at] + 1, 2**31)

    # --- what is asked ----------------------------------------------------------------------------------------------------

    def settled(self, way: int, slot: int) -> bool:
        """Whether a part of a tool's results was spared often enough, by a field that is filled steadily enough, for a new flow to
        say something. A part that always went along as far as it reached was never spared. With all room taken nothing is new.
        """
        if len(self.flows) >= FLOWS:
            return False
        return self.pairs[way] >= LEAST and self.odd[slot] <= 1 + self.pairs[slot] // PATIENCE

    def new_tenant(self, service: str, tenant: int) -> str:
        """Why a tenant of a service is a finding, ``""`` when it is not: it is known, or too little or too much varied."""
        if len(self.tenants) >= TENANTS:
            return ""  # which of them made room nobody knows: none is new
        mark = fingerprint(service)
        known = [int(count) for _, (of, count) in self.tenants.items() if of == mark]
        seen = sum(known)
        if self.tenants.find(tenant) >= 0 or seen < YOUNG:
            return ""
        once = known.count(1)
        if (once + 1) / (seen + 1) > RARE:
            return ""
        return f"{len(known)} known in {seen} runs; a harmless new one is expected in {(once + 1) / (seen + 1):.0%} of them"

    @property
    def total(self) -> int:
        """Runs learned."""
        return self.runs

    def plus(self, other: Outflow) -> Outflow:
        """What both know, which is what learning both here gives."""
        return Outflow(
            runs=self.runs + other.runs,
            flows=self.flows.merge(other.flows),
            secrets=self.secrets.merge(other.secrets),
            pairs=self.pairs.plus(other.pairs),
            odd=self.odd.plus(other.odd),
            tenants=self.tenants.joined(other.tenants, lambda one, two: (one[0], min(one[1] + two[1], 2**31))),
        )

    def to_json(self) -> dict[str, Json]:
        """The whole state."""
        return {
            "runs": self.runs,
            "flows": self.flows.to_json(),
            "secrets": self.secrets.to_json(),
            "pairs": self.pairs.to_json(),
            "odd": self.odd.to_json(),
            "tenants": self.tenants.to_json(),
        }

    @classmethod
    def from_json(cls, document: Json, name: str = "outflow") -> Self:
        """Back from a document. Raises InvalidInput naming the field."""
        doc = obj(document, name)
        found = cls()
        if not doc:
            return found
        found.runs = number(doc, "runs", name)
        found.flows = Few.from_json(doc.get("flows", ""), FLOWS, name + ".flows")
        found.secrets = Few.from_json(doc.get("secrets", ""), SECRETS, name + ".secrets")
        found.pairs = Owned.from_json(doc.get("pairs", ""), PAIRS, name + ".pairs")
        found.odd = Counts.from_json(doc.get("odd", ""), PAIRS, name + ".odd")
        found.tenants = Rows.from_json(doc.get("tenants"), TENANTS, "QI", name + ".tenants")
        return found


def mark(*parts: object) -> int:
    """The hash under which a baseline knows something, the same in every process."""
    return fingerprint("|".join(map(str, parts)))
