"""Which model an organisation asks, and what that has cost by day: values, the protocol of that part of a store, its statements."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.sqlite import insert

from kaizen_security.contract.action import Json
from kaizen_security.store import schema

KEPT = 400
"""Days of usage that are kept."""

Run = Callable[[Callable[[Connection], Any]], Any]
_M = schema.models
_U = schema.judge_usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """``document`` is what was chosen, without the key; ``sealed`` the key as ``exports.vault`` sealed it, empty for none."""

    organisation: int
    document: dict[str, Json]
    sealed: bytes = field(repr=False)
    changed_at: float = 0.0


class Models(Protocol):
    """As of ``store.base.Store``: blocking, from any thread, committed on return; may raise StoreFull, StoreUnavailable."""

    def every(self) -> tuple[Model, ...]: ...
    def put(self, model: Model) -> None: ...
    def count(self, organisation: int, day: int, counts: Mapping[str, int]) -> None: ...
    def counted(self, organisation: int, day: int) -> dict[int, dict[str, int]]: ...


class SqlModels:
    """``Models``. ``read`` and ``write`` run a function on a connection; a write is committed when it returns."""

    def __init__(self, read: Run, write: Run) -> None:
        self._read = read
        self._write = write

    def every(self) -> tuple[Model, ...]:
        """Of all organisations."""
        found: tuple[Model, ...] = self._read(
            lambda connection: tuple(_model(row) for row in connection.execute(select(_M)).mappings())
        )
        return found

    def put(self, model: Model) -> None:
        """Keep an organisation's choice in place of the one before."""
        values = {
            "document": json.dumps(model.document),
            "sealed": model.sealed,
            "changed_at": model.changed_at,
        }
        made = insert(_M).values(organisation_id=model.organisation, **values)
        self._write(lambda connection: connection.execute(made.on_conflict_do_update(set_=values)).rowcount)

    def count(self, organisation: int, day: int, counts: Mapping[str, int]) -> None:
        """Add to the counters of a day, and forget days that are long past."""

        def add(connection: Connection) -> None:
            for name, n in counts.items():
                made = insert(_U).values(organisation_id=organisation, day=day, name=name, n=n)
                connection.execute(made.on_conflict_do_update(set_={"n": _U.c.n + made.excluded.n}))
            connection.execute(delete(_U).where(_U.c.organisation_id == organisation, _U.c.day < day - KEPT))

        self._write(add)

    def counted(self, organisation: int, day: int) -> dict[int, dict[str, int]]:
        """The counters of ``day`` and of every later one."""
        chosen = select(_U).where(_U.c.organisation_id == organisation, _U.c.day >= day)

        def look(connection: Connection) -> dict[int, dict[str, int]]:
            found: dict[int, dict[str, int]] = {}
            for row in connection.execute(chosen).mappings():
                found.setdefault(row["day"], {})[row["name"]] = row["n"]
            return found

        result: dict[int, dict[str, int]] = self._read(look)
        return result


def _model(row: Mapping[str, Any] | Any) -> Model:
    return Model(
        organisation=row["organisation_id"],
        document=json.loads(row["document"]),
        sealed=row["sealed"],
        changed_at=row["changed_at"],
    )
