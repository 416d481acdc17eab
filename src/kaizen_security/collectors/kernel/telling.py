"""The way of every record of a run, from the ring to who is told: each deed once a window, all else counted by reason.

Most of a flood is the same few deeds, so a connection that was told of in this window is known again by its bytes, before
anything is made of them. Once a window has no room for another connection, further ones are looked at only to be counted.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from kaizen_security.collectors.kernel.actions import Translator
from kaizen_security.collectors.kernel.decode import Event
from kaizen_security.collectors.kernel.files import FileEvent
from kaizen_security.collectors.kernel.shapes import Kind, Reason
from kaizen_security.contract.action import Action
from kaizen_security.contract.verdict import Verdict

WINDOW = 1.0
"""Seconds within which the same deed on the same target is told once, and counted as often as it happened."""
MOST_A_WINDOW = 2000
"""Different deeds of one kind, passed or refused, that are told in one window; further ones are counted as lost (``flood``).

An agent can have a flood of one kind for nothing; so it hides nothing of another, and one of refusals nothing that passed.
"""
_PLACE = struct.Struct("=16xI20xI20xQ16sH6s")
"""Of a record that is HEAD and PLACE alone: its kind, its reason, the socket's cookie, address, port and all else of its place."""
_OWN, _REFUSED = Reason.PASSED_OWN.value, Reason.REFUSED_DENIED.value
_PLACED = (Kind.CONNECT.value, Kind.SEND.value)
_LOOKED_AT = (443, 53)
"""Ports of TLS, whose hellos belong to a connection, and of questions for names, which tell more than their connection."""


class Repeats:
    """What is told, and what only counts because it was told just now. ``at`` in seconds of any clock."""

    def __init__(self) -> None:
        self._began = 0.0
        self._told: dict[tuple[str, bool], set[tuple[str, str]]] = {}
        self.counts: Counter[str] = Counter()

    def turn(self, at: float) -> bool:
        """Whether a window has begun."""
        if at - self._began < WINDOW:
            return False
        self._began = at
        self._told.clear()
        return True

    def full(self, kind: str, *, refused: bool) -> bool:
        """Whether this window has no room for another deed of that kind."""
        return len(self._told.get((kind, refused), ())) >= MOST_A_WINDOW

    def new(self, action: Action, verdict: Verdict, at: float) -> bool:
        """Whether to tell it."""
        self.turn(at)
        facts = action.metadata
        key = action.target, str(facts.get("argv") or facts.get("transport") or facts.get("method"))
        told = self._told.setdefault((action.kind, verdict.blocked), set())
        if key in told:
            self.counts["repeated within a second"] += 1
            return False
        if len(told) >= MOST_A_WINDOW:
            self.counts["lost: flood"] += 1
            return False
        told.add(key)
        return True


class Telling:
    """``event`` makes one of a record, or None of what is none; ``tell`` gets every action with its verdict."""

    def __init__(
        self,
        translator: Translator,
        event: Callable[[memoryview], Event | None],
        tell: Callable[[Action, Verdict], None],
    ) -> None:
        self._translator = translator
        self._event = event
        self._tell = tell
        self._repeats = Repeats()
        self._known: dict[tuple[int, int, bytes, int, bytes], tuple[str, str]] = {}
        self._ports = frozenset((*_LOOKED_AT, *translator.own_ports))

    @property
    def counts(self) -> Counter[str]:
        """What was read and not told, by reason."""
        return self._translator.counts + self._repeats.counts

    def take(self, record: memoryview, at: float) -> None:
        """One record of the ring. ``at`` in seconds of any clock."""
        if self._repeats.turn(at):
            self._known.clear()
        key = None
        if len(record) == _PLACE.size:
            kind, reason, cookie, address, port, more = _PLACE.unpack_from(record)
            if kind in _PLACED:
                key = kind, reason, address, port, more
                known = self._known.get(key)
                if known is not None:
                    self._repeats.counts["repeated within a second"] += 1
                    self._translator.belongs(cookie, *known)
                    return
                if (
                    port not in self._ports
                    and reason != _OWN
                    and self._repeats.full("connect", refused=reason >= _REFUSED)
                ):
                    self._repeats.counts["lost: flood"] += 1
                    return
        event = self._event(record)
        if event is None:
            return
        if key is None:
            self._other(event, at)
        else:
            self._connection(event, key, at)

    def _other(self, event: Event, at: float) -> None:
        if event.kind is Kind.ANSWER:
            self._known.clear()  # what is connected to from here on may have another name
        found = self._translator.actions(event)
        if found is not None and self._repeats.new(*found, at):
            self._tell(*found)

    def _connection(self, event: Event, key: tuple[int, int, bytes, int, bytes], at: float) -> None:
        if self._translator.untold(event):
            return
        action, verdict = found = self._translator.connection(event)
        if self._repeats.new(*found, at):
            self._tell(action, verdict)
            self._known[key] = action.id, self._translator.name_at(event)

    def file(self, event: FileEvent, when: float, at: float) -> None:
        """What was done to a watched file; ``when`` in Unix seconds."""
        found = self._translator.file(event, when)
        if self._repeats.new(*found, at):
            self._tell(*found)


def stand_back() -> None:
    """From now on this thread takes no processor from a program that is running on it, but waits for its turn (sched(7)).

    Reading late costs nothing that is not counted, while an agent that is interrupted at each look takes longer.
    """
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
