"""The outbox: tells destinations what they asked for, in order, at least once, across outages and kills.

The rows of the store are the queue (``store.exported``). Each destination has a thread of its own, so that one that is slow or down
holds up no other. A row is behind us only after its receiver said so and that was committed: killed in between, we tell it again,
under the same delivery id.

- no answer, 408, 429, 5xx: tried again for as long as it takes, with exponential back-off and jitter, ``Retry-After`` respected
- any other status that is not 2xx: tried ``TRIES`` times, then the row is put aside with its reason, and the next one has its turn;
  one that is told again because it was joined to its act (ADR 0029) is left at the first such answer
- a receiver that refuses a test as well refuses everything (ADR 0033): nothing is put aside, and it is waited for as for one that
  does not answer
- a destination that may not be reached, or whose secret cannot be opened: it waits, and says why
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from kaizen_security.contract.action import Action
from kaizen_security.contract.codec import decode_action
from kaizen_security.contract.errors import Misconfigured, Unreachable
from kaizen_security.contract.verdict import Decision, Verdict
from kaizen_security.exports.base import Destination, Notice
from kaizen_security.exports.destinations import EXPORTERS, TOGETHER, unseal
from kaizen_security.exports.vault import Vault
from kaizen_security.net import outbound
from kaizen_security.runtime.clock import Clock, chance, new_id
from kaizen_security.store.base import StoreFull, StoreUnavailable
from kaizen_security.store.exported import Due, Export, Exports

log = logging.getLogger(__name__)

T = TypeVar("T")

TRIES = 5
"""How often a row is offered to a receiver that refuses it."""
BELIEVED = 3
"""Rows that are put aside after the receiver last took something; before a further one a test is sent."""
BACKOFF = 1.0
"""Seconds after the first failure; twice as many after each further one."""
LONGEST = 300.0
"""Seconds that it waits at most by itself."""
LONGEST_ASKED = 3600.0
"""Seconds that it waits at most because a receiver asks for it."""
LOOK = 5.0
"""Seconds after which a destination looks for rows, and for changes of its settings, that nobody told it of."""
PAGE = 50
"""Rows fetched at a time."""
DEADLINE = 10.0
"""Seconds of one exchange."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Of one delivery. ``status`` is 0 without an answer; ``refused``: asking again unchanged will hardly help."""

    delivered: bool
    status: int = 0
    problem: str = ""
    refused: bool = False
    wait: float = 0.0


def notice_of(due: Due) -> Notice:
    """A row as exporters take it."""
    row = due.row
    verdict = Verdict(
        decision=row.decision,
        reason=row.reason,
        evidence=row.evidence,
        confidence=row.confidence,
        notes=row.notes,
        policy_version=row.policy_version,
    )
    return Notice(
        id=row.id,
        at=row.created_at,
        agent=row.agent,
        action=decode_action(dict(row.action), agent=row.agent),
        verdict=verdict,
        joined=due.joined,
    )


def trial(at: float) -> Notice:
    """What the test button sends."""
    return Notice(
        id=f"test-{new_id()}",
        at=at,
        agent="kaizen-test",
        action=Action(tool="test", agent="kaizen-test"),
        verdict=Verdict(decision=Decision.ALLOW, reason="a test: this destination is set up"),
        test=True,
    )


class Outbox:
    """Delivers for every organisation of a store. ``permitted``: destinations that may be internal (``net.outbound``)."""

    def __init__(
        self,
        exports: Exports,
        vault: Vault,
        *,
        clock: Clock,
        permitted: Collection[str] = (),
        backoff: float = BACKOFF,
        deadline: float = DEADLINE,
    ) -> None:
        self.exports = exports
        self.vault = vault
        self.clock = clock
        self.permitted = frozenset(permitted)
        self.backoff = backoff
        self.deadline = deadline
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """How often, by kind and ``delivered``, ``failed``, ``parked`` or ``not joined``, since the start."""
        self._lanes: dict[str, _Lane] = {}
        self._by_organisation: dict[int, tuple[_Lane, ...]] = {}
        self._lock = threading.Lock()
        self._closed = False

    def changed(self) -> None:
        """Look which destinations there are: at the start, and after one was made, changed or deleted. Blocks on the store."""
        found = self.exports.every()
        with self._lock:
            if self._closed:
                return
            for gone in self._lanes.keys() - {one.id for one in found}:
                self._lanes.pop(gone).stop()
            for one in found:
                if one.id not in self._lanes:
                    self._lanes[one.id] = _Lane(self, one)
            grouped: dict[int, tuple[_Lane, ...]] = {}
            for one in found:
                grouped[one.organisation] = (*grouped.get(one.organisation, ()), self._lanes[one.id])
            self._by_organisation = grouped
            for lane in self._lanes.values():
                lane.renewed = True
                lane.wake.set()

    def wake(self, organisation: int) -> None:
        """Rows of this organisation were committed. Costs nothing when it has no destinations."""
        for lane in self._by_organisation.get(organisation, ()):
            lane.wake.set()

    def attempt(self, destination: Destination, notices: Sequence[Notice]) -> Outcome:
        """Tell notices once, now. Blocks for at most a deadline an exchange. Raises nothing."""
        told = 0
        try:
            exchanges = EXPORTERS[destination.kind].exchanges(notices, destination)
            for exchange in exchanges:
                answer = outbound.send(exchange, permitted=self.permitted, deadline=self.deadline)
                if not 200 <= answer.status < 300:
                    return _refusal(answer)
                told = answer.status
        except (Misconfigured, Unreachable) as err:
            return Outcome(delivered=False, problem=str(err)[:500])
        return Outcome(delivered=True, status=told)

    def opened(self, export: Export) -> Destination:
        """The destination with its secrets. Raises Misconfigured."""
        return unseal(export.sealed, self.vault, organisation=export.organisation, number=export.id, kind=export.kind)

    def test(self, export: Export) -> Outcome:
        """Send a test, past the queue. Raises nothing."""
        try:
            destination = self.opened(export)
        except Misconfigured as err:
            return Outcome(delivered=False, problem=str(err))
        return self.attempt(destination, [trial(self.clock())])

    def close(self, *, within: float = 2.0) -> None:
        """End every lane; an exchange that takes longer is left to die with the process, and is told again after the next start."""
        with self._lock:
            self._closed = True
            lanes = list(self._lanes.values())
            self._lanes.clear()
            self._by_organisation = {}
        for lane in lanes:
            lane.stop()
        for lane in lanes:
            lane.thread.join(within / len(lanes))


class _Lane:
    """One destination's thread."""

    def __init__(self, outbox: Outbox, export: Export) -> None:
        self._outbox = outbox
        self._export = export
        self._alone = False
        self._believed = 0
        """Rows that may be put aside before the receiver has to show that it takes anything at all."""
        self._stopped = False
        self.renewed = False
        """Its settings changed: what was fetched under the old ones is fetched again."""
        self.wake = threading.Event()
        self.thread = threading.Thread(target=self._work, name=f"export-{export.id[:8]}", daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """End after what is being done."""
        self._stopped = True
        self.wake.set()

    def _work(self) -> None:
        while not self._stopped:
            try:
                wait = self._step()
            except Exception as err:  # noqa: BLE001 - a listed boundary
                # Nothing was marked as told, so nothing is lost; the error's text may hold a destination's secret.
                log.warning("export %s stumbled (%s) and tries again", self._export.id, type(err).__name__)
                wait = LOOK
            if wait:
                self.wake.wait(wait)
                self.wake.clear()

    def _step(self) -> float:
        """Tell a page of rows; seconds until the next look, 0.0 when there may be more."""
        export = self._outbox.exports.one(self._export.organisation, self._export.id)
        if export is None or not export.enabled:
            return LOOK
        self._export = export
        early = export.next_at - self._outbox.clock()
        # Further ahead than anything ever asked for, it is the clock that was set back.
        if 0 < early <= LONGEST_ASKED:
            return min(early, LOOK)
        rows = self._outbox.exports.waiting(export, limit=max(PAGE, TOGETHER.get(export.kind, 1)))
        if not rows:
            return LOOK
        try:
            destination = self._outbox.opened(export)
        except Misconfigured as err:
            self._later(Outcome(delivered=False, problem=str(err)), export.attempts)
            return 0.0
        return self._tell_all(export, destination, rows)

    def _tell_all(self, export: Export, destination: Destination, rows: Sequence[Due]) -> float:
        size = 1 if self._alone else TOGETHER.get(export.kind, 1)
        attempts = export.attempts
        for start in range(0, len(rows), size):
            if self._stopped or self.renewed:
                self.renewed = False
                return 0.0
            if not self._tell(destination, rows[start : start + size], attempts):
                return 0.0
            attempts = 0
        self._alone = False
        return 0.0

    def _tell(self, destination: Destination, rows: Sequence[Due], attempts: int) -> bool:
        outbox = self._outbox
        outcome = outbox.attempt(destination, [notice_of(due) for due in rows])
        ids = [due.row.id for due in rows]
        if outcome.delivered:
            self._believed = BELIEVED
            outbox.outcomes[destination.kind, "delivered"] += len(ids)
            told = [due.row for due in rows]
            self._written(lambda: outbox.exports.delivered(destination.id, told, at=outbox.clock()))
            return True
        outbox.outcomes[destination.kind, "failed"] += 1
        if outcome.refused and len(rows) > 1:
            # One of them may be what is refused: find out which, and let the others pass.
            self._alone = True
        elif outcome.refused and rows[0].joined:
            # The receiver has the verdict; one that takes no such event must not fall behind for it.
            outbox.outcomes[destination.kind, "not joined"] += 1
            self._written(lambda: outbox.exports.left(destination.id, ids))
            return True
        elif outcome.refused and attempts + 1 >= TRIES:
            if not self._takes_anything(destination):
                outcome = replace(outcome, problem=f"{outcome.problem}; it refuses a test too, so verdicts wait for it")
            elif self._written(
                lambda: outbox.exports.park(destination.id, ids, reason=outcome.problem, at=outbox.clock())
            ):
                self._believed -= 1
                outbox.outcomes[destination.kind, "parked"] += len(ids)
                return True
        self._later(outcome, attempts)
        return False

    def _takes_anything(self, destination: Destination) -> bool:
        """Whether it is this row that is refused: what was told lately was taken, or a test is. Costs a test now and then."""
        if not self._believed and self._outbox.attempt(destination, [trial(self._outbox.clock())]).delivered:
            self._believed = BELIEVED
        return self._believed > 0

    def _later(self, outcome: Outcome, attempts: int) -> None:
        delay = min(LONGEST, self._outbox.backoff * 2.0 ** min(attempts, 30))
        # Half of it by chance, so that those who failed together do not come back together.
        delay = max(delay * (0.5 + chance() / 2), min(outcome.wait, LONGEST_ASKED))
        at = self._outbox.clock() + delay
        self._written(lambda: self._outbox.exports.failed(self._export.id, problem=outcome.problem, next_at=at))

    def _written(self, write: Callable[[], T]) -> T | None:
        """The result of a write that is tried until it is done: until then nothing more is told, or it would be told twice."""
        while not self._stopped:
            try:
                return write()
            except (StoreFull, StoreUnavailable) as err:
                log.warning("export %s cannot note what was told: %s", self._export.id, err)
                self.wake.wait(1.0)
                self.wake.clear()
        return None


def _refusal(answer: outbound.Answer) -> Outcome:
    # What the receiver says is not repeated: one that echoes would show an administrator's secrets to whoever may read.
    said = f"the receiver answered {answer.status}"
    if 300 <= answer.status < 400:
        said += ", a redirect, which is never followed: state the address where it leads to"
    busy = answer.status in (408, 429) or answer.status >= 500
    return Outcome(delivered=False, status=answer.status, problem=said, refused=not busy, wait=answer.retry_after)
