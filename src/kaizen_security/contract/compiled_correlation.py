"""The one sequence that a policy can forbid: a sensitive read, then an outbound connection in the same run."""

from __future__ import annotations

from collections import OrderedDict

from kaizen_security.contract.action import EGRESS_KINDS, Action
from kaizen_security.contract.finding import Finding

MAX_AGENTS = 4096
MAX_RUNS = 1024
"""Runs with a sensitive read that are remembered for each agent."""
WINDOW = 256
"""Actions of an agent that states no run, for which a sensitive read counts. (The deployed clients: 20.)"""

KIND = "risky sequence"
VALUE = "sensitive read then connect"


class Correlation:
    """Remembers who read something sensitive. Bounded; what it had to forget is counted in ``forgotten``.

    With ``run_id`` a read counts until the end of the run (``end``), however many actions lie between; without, for the agent's
    next ``WINDOW`` actions. Not safe to share between threads without a lock.
    """

    def __init__(self, source: str = "policy:correlation") -> None:
        self._source = source
        self._agents: OrderedDict[tuple[str, str], OrderedDict[str, int]] = OrderedDict()
        self.forgotten = 0
        """Runs and agents whose sensitive read was forgotten because there were too many."""

    def see(self, action: Action) -> Finding | None:
        """Take ``action`` in, and say whether it connects outwards after a sensitive read.

        A read is any action with ``metadata.sensitive`` that is not itself a network one; outward are ``connect``, ``http`` and
        ``dns``. A read that was blocked counts too: the agent tried.
        """
        runs = self._agents.get((action.organisation, action.agent))
        kind = action.kind.strip().lower()
        if kind in EGRESS_KINDS:
            marked = runs is not None and self._marked(runs, action.run_id)
            return self._finding(action) if marked else None
        if action.metadata.get("sensitive"):
            self._mark(action)
        elif runs is not None and not action.run_id:
            self._marked(runs, "")
        return None

    def end(self, organisation: str, agent: str, run_id: str) -> None:
        """The run is over."""
        runs = self._agents.get((organisation, agent))
        if runs is not None:
            runs.pop(run_id, None)
            if not runs:
                del self._agents[organisation, agent]

    def _marked(self, runs: OrderedDict[str, int], run_id: str) -> bool:
        left = runs.get(run_id)
        if left is None:
            return False
        runs.move_to_end(run_id)
        if not run_id:
            if left <= 0:
                del runs[run_id]
                return False
            runs[run_id] = left - 1
        return True

    def _mark(self, action: Action) -> None:
        who = (action.organisation, action.agent)
        runs = self._agents.setdefault(who, OrderedDict())
        self._agents.move_to_end(who)
        runs[action.run_id] = WINDOW
        runs.move_to_end(action.run_id)
        if len(runs) > MAX_RUNS:
            runs.popitem(last=False)
            self.forgotten += 1
        if len(self._agents) > MAX_AGENTS:
            _, lost = self._agents.popitem(last=False)
            self.forgotten += len(lost)

    def _finding(self, action: Action) -> Finding:
        return Finding(
            kind=KIND,
            value=VALUE,
            source=self._source,
            detection="policy",
            field="kind",
            expected="no outbound connection in a run after a sensitive read",
            observed=f"{action.kind[:64]} to {action.target[:256] or 'a destination that is not stated'}",
            advice="If this is wanted, do not mark the read as sensitive, or connect in another run.",
            attack="read-then-egress",
        )
