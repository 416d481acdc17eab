"""One act as one thing to read: of what told of a deed and what saw it, what leads, what it comes to, and how the two agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from kaizen_security.contract import canonical
from kaizen_security.contract.depth import Rung
from kaizen_security.contract.verdict import Decision
from kaizen_security.runtime.joining import ELSEWHERE, NO_CALL
from kaizen_security.store.base import Store, VerdictQuery, VerdictRow

SETTLED = 10.0
"""Seconds after which what proxy or kernel saw of a call has been reported."""


class Joined(StrEnum):
    """How what was told and what was seen of one act agree."""

    BOTH = "call and effect"
    CALL = "call"
    EFFECT = "effect"
    NO_CALL = "effect without call"
    ELSEWHERE = "effect elsewhere"
    NO_EFFECT = "call without effect"

    @property
    def means(self) -> str:
        """In one plain sentence."""
        return _MEANS[self]


_MEANS = {
    Joined.BOTH: "The agent reported it, and it was seen from outside of the agent.",
    Joined.CALL: "The agent reported it.",
    Joined.EFFECT: "It was seen from outside of the agent.",
    Joined.NO_CALL: "It was seen, and nothing that the agent reported explains it.",
    Joined.ELSEWHERE: "It was seen, and the call that was open reported another place.",
    Joined.NO_EFFECT: (
        "The agent reported it, and network and kernel, which see this agent, saw nothing of it: "
        "it did not happen, or it went over a connection that was open already."
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One act. ``rows`` are its rows, newest first.

    ``lead``     the row that says the most: what was blocked before what was flagged, then the deepest rung, then the newest
    ``deepest``  the row of the deepest rung: who saw it
    """

    rows: tuple[VerdictRow, ...]
    lead: VerdictRow
    deepest: VerdictRow
    joined: Joined

    @property
    def told(self) -> VerdictRow | None:
        """The call that it was, as the agent told it, when the lead is not that call itself and it has a tool's name."""
        calls = (row for row in self.rows if row.rung < Rung.EGRESS and row.action.get("tool"))
        return next((row for row in calls if row.action_id != self.lead.action_id), None) if _seen(self.lead) else None


def act(rows: Sequence[VerdictRow], *, watched: bool = False) -> Act:
    """The act of ``rows``, which are one, at least one of them. ``watched``: network or kernel see this agent, and had the time."""
    lead = max(rows, key=lambda row: (row.decision is Decision.BLOCK, row.flagged, row.rung, row.id))
    deepest = max(rows, key=lambda row: (row.rung, row.id))
    return Act(rows=tuple(rows), lead=lead, deepest=deepest, joined=_joined(rows, watched))


def listed(
    store: Store, organisation: int, query: VerdictQuery, now: float
) -> tuple[tuple[VerdictRow, ...], tuple[Act, ...]]:
    """The acts that a query lets a row of through, each with its newest such row, by which the list goes on. Blocking."""
    rows = store.acts.latest(organisation, query)
    return rows, acts_of(store, organisation, rows, now)


def acts_of(store: Store, organisation: int, rows: Sequence[VerdictRow], now: float) -> tuple[Act, ...]:
    """The act of each of ``rows``, looked at at ``now`` (Unix seconds). Blocking."""
    agents = {name: store.agent(organisation, name) for name in {row.agent for row in rows}}
    seen = {name for name, agent in agents.items() if agent and agent.rung is not None and agent.rung >= Rung.EGRESS}
    found = zip(rows, store.acts.of(organisation, rows), strict=True)
    return tuple(act(of, watched=row.agent in seen and row.created_at + SETTLED <= now) for row, of in found)


def _joined(rows: Sequence[VerdictRow], watched: bool) -> Joined:
    seen = [row for row in rows if _seen(row)]
    notes = {note for row in seen for note in row.notes}
    if ELSEWHERE in notes:
        return Joined.ELSEWHERE
    if len(seen) < len(rows):
        if seen:
            return Joined.BOTH
        # What was blocked had no effect to be seen, and what names no host may have had none that anybody sees.
        happened = all(row.decision is Decision.ALLOW and _names_a_host(row) for row in rows)
        return Joined.NO_EFFECT if watched and happened else Joined.CALL
    return Joined.NO_CALL if NO_CALL in notes else Joined.EFFECT


def _seen(row: VerdictRow) -> bool:
    return row.rung >= Rung.EGRESS


def _names_a_host(row: VerdictRow) -> bool:
    kind, target = row.action.get("kind"), row.action.get("target")
    if not isinstance(kind, str) or not isinstance(target, str):
        return False
    found = canonical.destination(kind, target)
    return found is not None and bool(found.host)
