"""The way of every record of a run, from the ring to whoever reports it: each deed once a window, all else counted by reason.

Most of a flood is the same few deeds, so a connection that was reported in this window is known again by its bytes, before
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
from kaizen_security.collectors.kernel.once import Once
from kaizen_security.collectors.kernel.shapes import Kind, Reason
from kaizen_security.contract.action import Action
from kaizen_security.contract.verdict import Verdict

MOST_A_WINDOW = 2000
"""Different deeds of one kind, passed or refused, that are reported in one window."""
_PLACE = struct.Struct("=16xI20xI20xQ16sH6s")
"""Of a record that is HEAD and PLACE alone: its kind, its reason, the socket's cookie, address, port and all else of its place."""
_OWN, _REFUSED = Reason.PASSED_OWN.value, Reason.REFUSED_DENIED.value
_PLACED = (Kind.CONNECT.value, Kind.SEND.value)
_LOOKED_AT = (443, 53)
"""Ports of TLS, whose hellos belong to a connection, and of questions for names, which say more than their connection."""


class Reporting:
    """``event`` makes one of a record, or None of what is none; ``report`` gets every action with its verdict that is new."""

    def __init__(
        self,
        translator: Translator,
        event: Callable[[memoryview], Event | None],
        report: Callable[[Action, Verdict], None],
        most: int = MOST_A_WINDOW,
    ) -> None:
        self._translator = translator
        self._event = event
        self._report = report
        self._once = Once(most, repeated="repeated within a second", lost="lost: flood")
        self._known: dict[tuple[int, int, bytes, int, bytes], tuple[str, str]] = {}
        self._ports = frozenset((*_LOOKED_AT, *translator.own_ports))

    @property
    def counts(self) -> Counter[str]:
        """What was read and not reported, by reason."""
        return self._translator.counts + self._once.counts

    def take(self, record: memoryview, at: float) -> None:
        """One record of the ring. ``at`` in seconds of any clock."""
        if self._once.turn(at):
            self._known.clear()
        key = None
        if len(record) == _PLACE.size:
            kind, reason, cookie, address, port, more = _PLACE.unpack_from(record)
            if kind in _PLACED:
                key = kind, reason, address, port, more
                known = self._known.get(key)
                if known is not None:
                    self._once.repeat()
                    self._translator.belongs(cookie, *known)
                    return
                if port not in self._ports and reason != _OWN and self._once.full(("connect", reason >= _REFUSED)):
                    self._once.lose()
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
        if found is not None and self._new(*found, at):
            self._report(*found)

    def _connection(self, event: Event, key: tuple[int, int, bytes, int, bytes], at: float) -> None:
        if self._translator.is_for_others(event):
            return
        action, verdict = found = self._translator.connection(event)
        if self._new(*found, at):
            self._report(action, verdict)
            self._known[key] = action.id, self._translator.name_at(event)

    def file(self, event: FileEvent, when: float, at: float) -> None:
        """What was done to a watched file; ``when`` in Unix seconds."""
        found = self._translator.file(event, when)
        if self._new(*found, at):
            self._report(*found)

    def _new(self, action: Action, verdict: Verdict, at: float) -> bool:
        # A flood of refusals hides nothing that passed, and a program is another one when it was replaced.
        facts = action.metadata
        how = str(facts.get("argv") or facts.get("transport") or facts.get("method"))
        return self._once.new((action.kind, verdict.blocked), (action.target, how, action.hash), at)


def stand_back() -> None:
    """From now on this thread takes no processor from a program that is running on it, but waits for its turn (sched(7)).

    Reading late costs nothing that is not counted, while an agent that is interrupted at each look takes longer.
    """
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
