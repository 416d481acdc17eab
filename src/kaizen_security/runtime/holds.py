"""Holds: the table of held actions for several threads, with a clock. Whoever waits is told of a change by ``on_change``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kaizen_security.contract.action import Action
from kaizen_security.contract.hold import Hold, HoldState
from kaizen_security.observer.question import Answer, Question
from kaizen_security.runtime.agents import AgentKey
from kaizen_security.runtime.clock import Clock, new_id
from kaizen_security.runtime.clock import now as wall
from kaizen_security.runtime.hold_table import HoldTable, Kept, Ruling


class Holds:
    """The table for several threads. ``on_change(hold)`` is called after every change, outside of the lock."""

    def __init__(self, *, clock: Clock = wall, ids: Callable[[], str] = new_id) -> None:
        self.on_change: Callable[[Hold], None] = lambda hold: None
        self.clock = clock
        self._ids = ids
        self._table = HoldTable()
        self._lock = threading.Lock()

    @contextmanager
    def _changing(self) -> Iterator[HoldTable]:
        try:
            with self._lock:
                yield self._table
        finally:
            with self._lock:
                changed = [hold for hold in map(self._table.get, self._table.changed) if hold is not None]
                self._table.changed = {}
            for hold in changed:
                self.on_change(hold)

    def ask(self, key: AgentKey, question: Question, seconds: float) -> Ruling:
        """See ``HoldTable.ask``."""
        with self._changing() as table:
            return table.ask(key, question, self.clock(), self._ids(), seconds)

    def answer(self, hold_id: str, word: Answer, by: str) -> tuple[Hold, str]:
        """See ``HoldTable.answer``."""
        with self._changing() as table:
            return table.answer(hold_id, word, by, self.clock())

    def note(self, hold_id: str, said: str) -> None:
        """See ``HoldTable.note``."""
        with self._changing() as table:
            table.note(hold_id, said)

    def wake(self) -> None:
        """See ``HoldTable.wake``."""
        with self._changing() as table:
            table.wake(self.clock())

    def end(self, key: AgentKey, run_id: str) -> None:
        """See ``HoldTable.end``."""
        with self._changing() as table:
            table.end(key, run_id, self.clock())

    def withdraw(self, key: AgentKey, action: Action) -> None:
        """See ``HoldTable.withdraw``."""
        with self._changing() as table:
            table.withdraw(key, action, self.clock())

    def abandon(self, key: AgentKey, action_id: str) -> None:
        """See ``HoldTable.abandon``."""
        with self._changing() as table:
            if table.waiting:
                table.abandon(key, action_id, self.clock())

    def restore(self, key: AgentKey, act: str, hold: Hold, redeemed: str = "") -> None:
        """See ``HoldTable.restore``."""
        with self._changing() as table:
            table.restore(key, act, hold, redeemed, self.clock())

    def standing(self, key: AgentKey, action: Action) -> Hold | None:
        """See ``HoldTable.standing``."""
        with self._lock:
            return self._table.standing(key, action)

    def get(self, hold_id: str) -> Hold | None:
        """See ``HoldTable.get``."""
        with self._lock:
            return self._table.get(hold_id)

    def kept(self, hold_id: str) -> Kept | None:
        """See ``HoldTable.kept``."""
        with self._lock:
            return self._table.kept(hold_id)

    def listing(self, state: HoldState | None = None, agent: str = "", limit: int = 100) -> tuple[Hold, ...]:
        """See ``HoldTable.listing``."""
        with self._lock:
            return self._table.listing(state, agent, limit)

    def figures(self) -> dict[str, int]:
        """How many wait now, and what came of all since the start."""
        with self._lock:
            return {"waiting": self._table.waiting, **self._table.counts}
