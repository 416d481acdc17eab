"""Held actions at the control plane: what sidecars relay, what people answer, and whether the sidecar has heard of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from sqlalchemy import ColumnElement, Connection, Row, Select, delete, func, insert, select, update

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import KaizenError
from kaizen_security.contract.hold import Hold, HoldAnswer, HoldState, decode_hold, encode_hold
from kaizen_security.store import agents, schema
from kaizen_security.store.base import LimitReached

MAX_OPEN = 10_000
"""Holds of one organisation that wait; one whose time is over waits no longer, whether or not its sidecar has said so."""
MAX_SETTLED = 10_000
"""Those that wait no longer that are kept; the oldest go first."""
MAX_NOTES = 32
"""Notes of one hold, to which further ones are added; all that came with the question are kept."""

Run = Callable[[Callable[[Connection], Any]], Any]
_H = schema.holds
_A = schema.agents


class Settled(KaizenError):
    """It was answered before, or its time is over."""


class HeldActions(Protocol):
    """As of ``store.base.Store``: blocking, from any thread, committed on return; may raise StoreFull, StoreUnavailable."""

    def put(self, organisation: int, sidecar: str, holds: Sequence[Hold], *, now: float) -> None: ...
    def of(
        self, organisation: int, *, now: float, state: HoldState | None = None, agent: str = "", limit: int = 100
    ) -> tuple[Hold, ...]: ...
    def one(self, organisation: int, hold_id: str, *, now: float) -> Hold | None: ...
    def answer(self, organisation: int, hold_id: str, said: HoldAnswer, *, by: str, at: float) -> Hold | None: ...
    def unheard(self, organisation: int, sidecar: str) -> tuple[Hold, ...]: ...
    def counts(self, *, now: float) -> dict[str, int]: ...


class SqlHeld:
    """``HeldActions``. ``read`` and ``write`` run a function on a connection; a write is committed when it returns."""

    def __init__(self, read: Run, write: Run) -> None:
        self._read = read
        self._write = write

    def put(self, organisation: int, sidecar: str, holds: Sequence[Hold], *, now: float) -> None:
        """Keep how holds of a sidecar stand there; an answer from here that it has not heard yet stays. Raises LimitReached."""
        self._write(lambda connection: _put(connection, organisation, sidecar, holds, now))

    def of(
        self, organisation: int, *, now: float, state: HoldState | None = None, agent: str = "", limit: int = 100
    ) -> tuple[Hold, ...]:
        """An organisation's holds, the newest first; one whose time is over is expired, whatever its sidecar said last."""
        chosen = _select(organisation)
        if agent:
            chosen = chosen.where(_A.c.name == agent)
        if state is not None:
            chosen = chosen.where(_is(state, now))
        chosen = chosen.order_by(_H.c.created_at.desc(), _H.c.id).limit(limit)
        found: tuple[Hold, ...] = self._read(lambda connection: _holds(connection, chosen, now))
        return found

    def one(self, organisation: int, hold_id: str, *, now: float) -> Hold | None:
        """None when there is none, or it is another organisation's."""
        chosen = _select(organisation).where(_H.c.id == hold_id)
        found: tuple[Hold, ...] = self._read(lambda connection: _holds(connection, chosen, now))
        return found[0] if found else None

    def answer(self, organisation: int, hold_id: str, said: HoldAnswer, *, by: str, at: float) -> Hold | None:
        """A person answers; None when there is no such hold. Raises Settled."""
        found: Hold | None = self._write(lambda connection: _answer(connection, organisation, hold_id, said, by, at))
        return found

    def unheard(self, organisation: int, sidecar: str) -> tuple[Hold, ...]:
        """What was answered here and the sidecar has not said that it knows, oldest first."""
        chosen = _select(organisation).where(_H.c.confirmed.is_(False), _H.c.sidecar == sidecar, _H.c.answer != "")
        chosen = chosen.order_by(_H.c.answered_at).limit(1000)
        found: tuple[Hold, ...] = self._read(lambda connection: _holds(connection, chosen, 0.0))
        return found

    def counts(self, *, now: float) -> dict[str, int]:
        """How many there are in each state, of all organisations together."""
        late = (_H.c.state == HoldState.WAITING.value) & (_H.c.expires_at <= now)
        statement = select(_H.c.state, late, func.count()).group_by(_H.c.state, late)
        found = dict.fromkeys(HoldState, 0)
        for state, over, count in self._read(lambda connection: connection.execute(statement).all()):
            found[HoldState.EXPIRED if over else HoldState(state)] += count
        return {state.value: count for state, count in found.items()}


def _select(organisation: int) -> Select[Any]:
    return (
        select(_H, _A.c.name)
        .select_from(_H.join(_A, _A.c.id == _H.c.agent_id))
        .where(_H.c.organisation_id == organisation)
    )


def _is(state: HoldState, now: float) -> ColumnElement[bool]:
    if state is HoldState.WAITING:
        return (_H.c.state == state.value) & (_H.c.expires_at > now)
    if state is HoldState.EXPIRED:
        return (_H.c.state == state.value) | ((_H.c.state == HoldState.WAITING.value) & (_H.c.expires_at <= now))
    return _H.c.state == state.value


def _holds(connection: Connection, statement: Select[Any], now: float) -> tuple[Hold, ...]:
    return tuple(_hold(row, now) for row in connection.execute(statement))


def _hold(row: Row[Any], now: float) -> Hold:
    state = HoldState(row.state)
    if state is HoldState.WAITING and row.expires_at <= now:
        state = HoldState.EXPIRED
    return replace(
        decode_hold(json.loads(row.document)),
        state=state,
        answer=HoldAnswer(row.answer) if row.answer else None,
        answered_by=row.answered_by,
        answered_at=row.answered_at,
    )


def _put(connection: Connection, organisation: int, sidecar: str, holds: Sequence[Hold], now: float) -> None:
    for hold in holds:
        known = connection.execute(
            select(_H.c.sidecar, _H.c.answer, _H.c.document).where(
                _H.c.organisation_id == organisation, _H.c.id == hold.id
            )
        ).first()
        if known is None:
            _new(connection, organisation, sidecar, hold, now)
        elif known.sidecar == sidecar:
            kept = _as_asked(json.loads(known.document), hold)
            values: dict[str, Any] = {"document": json.dumps(encode_hold(kept))}
            if not hold.waiting:
                values |= _said(hold, known.answer)
            chosen = (_H.c.organisation_id == organisation, _H.c.id == hold.id)
            connection.execute(update(_H).where(*chosen).values(**values))
    _forget(connection, organisation, now)


def _as_asked(document: Json, hold: Hold) -> Hold:
    """How it stands now, of what was asked first: nobody may put another deed in the place of what a person is looking at, take
    away what the person is told of it, or the time for an answer. Notes are added as they come.
    """
    first = decode_hold(document)
    added = tuple(note for note in hold.notes if note not in first.notes)
    notes = (*first.notes, *added)[: max(MAX_NOTES, len(first.notes))]
    return replace(
        hold,
        action=first.action,
        verdict=first.verdict,
        created_at=first.created_at,
        expires_at=first.expires_at,
        notes=notes,
    )


def _said(hold: Hold, here: str = "") -> dict[str, Any]:
    """What its sidecar says of a settled hold is what has happened; ``here``: what was answered here, by whom we know ourselves."""
    settled = {"state": hold.state.value, "confirmed": True}
    answer = "" if hold.answer is None else hold.answer.value
    if answer and answer == here:
        return settled
    by = f"{hold.answered_by[:200]} (at the sidecar)" if hold.answered_by else ""
    return {**settled, "answer": answer, "answered_by": by, "answered_at": hold.answered_at}


def _new(connection: Connection, organisation: int, sidecar: str, hold: Hold, now: float) -> None:
    if hold.waiting:
        # Of a sidecar that is gone nobody says any more that its holds are over: they must not keep out others' for ever.
        counted = select(func.count()).where(_H.c.organisation_id == organisation, _is(HoldState.WAITING, now))
        if connection.execute(counted).scalar_one() >= MAX_OPEN:
            raise LimitReached(f"the organisation has {MAX_OPEN} actions waiting, as many as it may have")
    said = _said(hold) if not hold.waiting else {"answer": "", "answered_by": "", "answered_at": 0.0}
    connection.execute(
        insert(_H).values(
            {
                "organisation_id": organisation,
                "id": hold.id,
                "agent_id": agents.ensure(connection, organisation, hold.agent),
                "sidecar": sidecar,
                "created_at": hold.created_at,
                "expires_at": hold.expires_at,
                "state": hold.state.value,
                "confirmed": False,
                "document": json.dumps(encode_hold(hold)),
                **said,
            }
        )
    )


def _forget(connection: Connection, organisation: int, now: float) -> None:
    over = (_H.c.organisation_id == organisation, ~_is(HoldState.WAITING, now))
    kept = connection.execute(select(func.count()).where(*over)).scalar_one()
    if kept <= MAX_SETTLED:
        return
    oldest = select(_H.c.id).where(*over).order_by(_H.c.created_at).limit(kept - MAX_SETTLED)
    connection.execute(delete(_H).where(over[0], _H.c.id.in_(oldest.scalar_subquery())))


def _answer(
    connection: Connection, organisation: int, hold_id: str, said: HoldAnswer, by: str, at: float
) -> Hold | None:
    chosen = _select(organisation).where(_H.c.id == hold_id)
    found = _holds(connection, chosen, at)
    if not found:
        return None
    if not found[0].waiting:
        raise Settled(f"it is settled already: {found[0].state.value}")
    state = HoldState.BLOCKED if said is HoldAnswer.BLOCK else HoldState.RELEASED
    connection.execute(
        update(_H)
        .where(_H.c.organisation_id == organisation, _H.c.id == hold_id)
        .values(state=state.value, answer=said.value, answered_by=by, answered_at=at)
    )
    return _holds(connection, chosen, at)[0]
