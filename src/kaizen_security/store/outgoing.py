"""Statements about destinations of exports: ``store.exported.Exports``, by a reader's and a writer's connection."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, Select, delete, func, insert, select, update

from kaizen_security.contract.action import Json
from kaizen_security.store import rows, schema
from kaizen_security.store.base import LimitReached, Status, VerdictRow
from kaizen_security.store.codes import STATUS_CODE, public_id, row_number
from kaizen_security.store.exported import (
    MAX_EXPORTS,
    MAX_PARKED,
    MAX_PENDING,
    TOLD_ONCE,
    Due,
    Export,
    Lag,
    Parked,
    Which,
)

T = TypeVar("T")
Run = Callable[[Callable[[Connection], Any]], Any]

_E = schema.exports
_J = schema.joined
_P = schema.parked
_V = schema.verdicts


class OutgoingExports:
    """``store.exported.Exports``. ``read`` and ``write`` run a function on a connection; a write is committed when it returns."""

    def __init__(self, read: Run, write: Run) -> None:
        self._read = read
        self._write = write

    def every(self) -> tuple[Export, ...]:
        """Of all organisations: for the program that delivers."""
        found: tuple[Export, ...] = self._read(lambda connection: _exports(connection, _select()))
        return found

    def of(self, organisation: int) -> tuple[Export, ...]:
        """An organisation's, oldest first."""
        statement = _select().where(_E.c.organisation_id == organisation)
        found: tuple[Export, ...] = self._read(lambda connection: _exports(connection, statement))
        return found

    def one(self, organisation: int, export_id: str) -> Export | None:
        """None when there is none, or it is another organisation's."""
        found: Export | None = self._read(lambda connection: _one(connection, organisation, export_id))
        return found

    def create(self, export: Export) -> Export:
        """Keep a new one; it gets what is committed from now on. Raises LimitReached."""
        made: Export = self._write(lambda connection: _create(connection, export))
        return made

    def change(
        self,
        organisation: int,
        export_id: str,
        *,
        name: str | None = None,
        which: Which | None = None,
        enabled: bool | None = None,
        sealed: bytes | None = None,
        shown: dict[str, Json] | None = None,
    ) -> Export | None:
        """Change what is given, and let the next row be tried at once; None when there is none."""
        given = {
            "name": name,
            "which": None if which is None else which.value,
            "enabled": enabled,
            "sealed": sealed,
            "shown": None if shown is None else json.dumps(shown),
        }
        values = {key: value for key, value in given.items() if value is not None}
        changed: Export | None = self._write(lambda connection: _change(connection, organisation, export_id, values))
        return changed

    def delete(self, organisation: int, export_id: str) -> bool:
        """Whether there was one."""
        done: bool = self._write(lambda connection: _delete(connection, organisation, export_id))
        return done

    def waiting(self, export: Export, *, limit: int) -> tuple[Due, ...]:
        """The rows that are next for a destination, in the order in which they were committed; those to be tried again first, and
        behind the new ones up to as many that are told again because they were joined.
        """
        found: tuple[Due, ...] = self._read(lambda connection: _waiting(connection, export, limit))
        return found

    def lag(self, export: Export) -> Lag:
        """How far behind it is."""
        found: Lag = self._read(lambda connection: _lag(connection, export))
        return found

    def delivered(self, export_id: str, rows: Sequence[VerdictRow], *, at: float) -> None:
        """These rows have arrived as they stand here; one that was joined to its act meanwhile is told again."""
        self._write(lambda connection: _delivered(connection, export_id, rows, at))

    def left(self, export_id: str, verdict_ids: Sequence[str]) -> None:
        """These rows, which were told, are not told again."""
        self._write(lambda connection: _left(connection, export_id, [row_number(one) for one in verdict_ids]))

    def failed(self, export_id: str, *, problem: str, next_at: float) -> None:
        """An attempt failed; the next is at ``next_at``."""
        values = {"attempts": _E.c.attempts + 1, "failures": _E.c.failures + 1, "problem": problem, "next_at": next_at}
        statement = update(_E).where(_E.c.id == export_id).values(**values)
        self._write(lambda connection: connection.execute(statement).rowcount)

    def park(self, export_id: str, verdict_ids: Sequence[str], *, reason: str, at: float) -> bool:
        """Put rows aside and go on behind them; false, and nothing done, when as many are put aside as may be."""
        done: bool = self._write(lambda connection: _park(connection, export_id, verdict_ids, reason, at))
        return done

    def parked(self, organisation: int, export_id: str, *, limit: int) -> tuple[Parked, ...]:
        """What was put aside, the newest first."""
        found: tuple[Parked, ...] = self._read(lambda connection: _parked(connection, organisation, export_id, limit))
        return found

    def unpark(self, organisation: int, export_id: str) -> int:
        """Try what was put aside again; how many rows that is."""
        number: int = self._write(lambda connection: _unpark(connection, organisation, export_id))
        return number


def _select() -> Select[Any]:
    put_aside = select(func.count()).select_from(_P).where(_P.c.export_id == _E.c.id).scalar_subquery()
    return select(_E, put_aside.label("parked")).order_by(_E.c.created_at, _E.c.id)


def _exports(connection: Connection, statement: Select[Any]) -> tuple[Export, ...]:
    return tuple(_export(row) for row in connection.execute(statement))


def _one(connection: Connection, organisation: int, export_id: str) -> Export | None:
    row = connection.execute(_select().where(_E.c.organisation_id == organisation, _E.c.id == export_id)).first()
    return None if row is None else _export(row)


def _export(row: Row[Any]) -> Export:
    return Export(
        id=row.id,
        organisation=row.organisation_id,
        name=row.name,
        kind=row.kind,
        which=Which(row.which),
        sealed=row.sealed,
        shown=json.loads(row.shown),
        enabled=row.enabled,
        created_at=row.created_at,
        cursor=row.cursor,
        since=row.since,
        attempts=row.attempts,
        next_at=row.next_at,
        problem=row.problem,
        delivered=row.delivered,
        failures=row.failures,
        delivered_at=row.delivered_at,
        parked=row.parked,
    )


def _create(connection: Connection, export: Export) -> Export:
    there = select(func.count()).select_from(_E).where(_E.c.organisation_id == export.organisation)
    if connection.execute(there).scalar_one() >= MAX_EXPORTS:
        raise LimitReached(f"the organisation has {MAX_EXPORTS} exports, as many as it may have")
    newest = connection.execute(select(func.max(_V.c.id))).scalar_one() or 0
    connection.execute(
        insert(_E).values(
            id=export.id,
            organisation_id=export.organisation,
            name=export.name,
            kind=export.kind,
            which=export.which.value,
            sealed=export.sealed,
            shown=json.dumps(export.shown),
            enabled=export.enabled,
            created_at=export.created_at,
            cursor=newest,
            since=newest,
            attempts=0,
            next_at=0.0,
            problem="",
            delivered=0,
            failures=0,
            delivered_at=0.0,
        )
    )
    made = _one(connection, export.organisation, export.id)
    assert made is not None
    return made


def _change(connection: Connection, organisation: int, export_id: str, values: dict[str, Any]) -> Export | None:
    here = (_E.c.organisation_id == organisation) & (_E.c.id == export_id)
    connection.execute(update(_E).where(here).values(**values, attempts=0, next_at=0.0))
    return _one(connection, organisation, export_id)


def _delete(connection: Connection, organisation: int, export_id: str) -> bool:
    if _one(connection, organisation, export_id) is None:
        return False
    connection.execute(delete(_P).where(_P.c.export_id == export_id))
    connection.execute(delete(_J).where(_J.c.export_id == export_id))
    connection.execute(delete(_E).where(_E.c.id == export_id))
    return True


def _wanted(which: Which) -> list[ColumnElement[bool]]:
    if which is Which.ALL:
        return []
    # A block and a flag are never of severity 0, and saying so lets the partial index answer.
    wanted = [_V.c.severity > 0, _V.c.status != STATUS_CODE[Status.FALSE_POSITIVE]]
    return [*wanted, _V.c.decision > 0] if which is Which.BLOCKS else wanted


def _waiting(connection: Connection, export: Export, limit: int) -> tuple[Due, ...]:
    def due(*conditions: ColumnElement[bool], joined: bool = False) -> tuple[Due, ...]:
        found = rows.oldest_first(connection, export.organisation, conditions, limit)
        return tuple(Due(row=row, joined=joined) for row in found)

    again = select(_P.c.verdict_number).where(_P.c.export_id == export.id, _P.c.again)
    joined = select(_J.c.verdict_number).where(_J.c.export_id == export.id)
    # What is new goes first, and as much of the rest with it: neither keeps the other waiting for good.
    return due(_V.c.id.in_(again)) or (
        *due(_V.c.id > export.cursor, *_wanted(export.which)),
        *due(_V.c.id.in_(joined), joined=True),
    )


def _lag(connection: Connection, export: Export) -> Lag:
    wanted = [_V.c.organisation_id == export.organisation, _V.c.id > export.cursor, *_wanted(export.which)]
    some = select(_V.c.created_at).where(*wanted).order_by(_V.c.id).limit(MAX_PENDING).subquery()
    again = select(_J.c.verdict_number).where(_J.c.export_id == export.id).limit(MAX_PENDING).subquery()
    counted = [connection.execute(select(func.count()).select_from(one)).scalar_one() for one in (some, again)]
    pending = min(MAX_PENDING, sum(counted))
    oldest = connection.execute(select(_V.c.created_at).where(*wanted).order_by(_V.c.id).limit(1)).scalar()
    return Lag(pending=pending, oldest_at=oldest or 0.0)


def _forward(connection: Connection, export_id: str, numbers: Sequence[int], **values: Any) -> None:
    values |= {"cursor": func.max(_E.c.cursor, max(numbers)), "attempts": 0, "next_at": 0.0}
    connection.execute(update(_E).where(_E.c.id == export_id).values(**values))


def _delivered(connection: Connection, export_id: str, told: Sequence[VerdictRow], at: float) -> None:
    numbers = [row_number(one.id) for one in told]
    connection.execute(delete(_P).where(_P.c.export_id == export_id, _P.c.verdict_number.in_(numbers)))
    connection.execute(delete(_J).where(_J.c.export_id == export_id, _J.c.verdict_number.in_(numbers)))
    _joined_meanwhile(connection, export_id, told)
    done = {"problem": "", "delivered": _E.c.delivered + len(numbers), "delivered_at": at}
    _forward(connection, export_id, numbers, **done)


def _left(connection: Connection, export_id: str, numbers: Sequence[int]) -> None:
    connection.execute(delete(_J).where(_J.c.export_id == export_id, _J.c.verdict_number.in_(numbers)))
    connection.execute(update(_E).where(_E.c.id == export_id).values(attempts=0, next_at=0.0))


def _joined_meanwhile(connection: Connection, export_id: str, told: Sequence[VerdictRow]) -> None:
    """Enter those that were joined between being read and being told."""
    said = {row_number(one.id): (one.act_id, one.run_id) for one in told}
    kind = connection.execute(select(_E.c.kind).where(_E.c.id == export_id)).scalar()
    if kind is None or kind in TOLD_ONCE:
        return
    now = connection.execute(select(_V.c.id, _V.c.act_id, _V.c.run_id).where(_V.c.id.in_(said)))
    other = [row.id for row in now if said[row.id] != (row.act_id, row.run_id)]
    if other:
        connection.execute(insert(_J), [{"export_id": export_id, "verdict_number": number} for number in other])


def _park(connection: Connection, export_id: str, verdict_ids: Sequence[str], reason: str, at: float) -> bool:
    numbers = [row_number(one) for one in verdict_ids]
    if connection.execute(select(_E.c.id).where(_E.c.id == export_id)).first() is None:
        return False
    connection.execute(delete(_P).where(_P.c.export_id == export_id, _P.c.verdict_number.in_(numbers)))
    there = connection.execute(select(func.count()).select_from(_P).where(_P.c.export_id == export_id)).scalar_one()
    if there + len(numbers) > MAX_PARKED:
        return False
    entries = [
        {"export_id": export_id, "verdict_number": number, "reason": reason, "parked_at": at, "again": False}
        for number in numbers
    ]
    connection.execute(insert(_P), entries)
    _forward(connection, export_id, numbers, problem=reason)
    return True


def _parked(connection: Connection, organisation: int, export_id: str, limit: int) -> tuple[Parked, ...]:
    statement = (
        select(_P)
        .join(_E, _E.c.id == _P.c.export_id)
        .where(_E.c.organisation_id == organisation, _P.c.export_id == export_id)
        .order_by(_P.c.verdict_number.desc())
        .limit(limit)
    )
    return tuple(
        Parked(
            verdict_id=public_id(row.verdict_number), reason=row.reason, parked_at=row.parked_at, again=bool(row.again)
        )
        for row in connection.execute(statement)
    )


def _unpark(connection: Connection, organisation: int, export_id: str) -> int:
    if _one(connection, organisation, export_id) is None:
        return 0
    # Rows that are gone, with an agent whose data was deleted say, have nothing left to be told.
    kept = select(_V.c.id).where(_V.c.organisation_id == organisation)
    connection.execute(delete(_P).where(_P.c.export_id == export_id, _P.c.verdict_number.not_in(kept)))
    done = connection.execute(update(_P).where(_P.c.export_id == export_id).values(again=True))
    connection.execute(update(_E).where(_E.c.id == export_id).values(attempts=0, next_at=0.0))
    return done.rowcount
