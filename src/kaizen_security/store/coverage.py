"""What ``kaizen doctor --coverage`` measured of an agent's ways out: values, that part of a store, its statements."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection, select
from sqlalchemy.dialects.sqlite import insert

from kaizen_security.contract.action import Json
from kaizen_security.store import agents, schema

Run = Callable[[Callable[[Connection], Any]], Any]
_T = schema.coverage


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The newest measure of an agent: on which ``machine``, when (``at``, Unix seconds), and what of each rung and mode."""

    machine: str
    at: float
    rungs: Sequence[Mapping[str, Json]]


class Coverages(Protocol):
    """As of ``store.base.Store``: blocking, from any thread, committed on return; may raise StoreFull, StoreUnavailable."""

    def put(self, organisation: int, agent: str, measured: Measured) -> bool: ...
    def of(self, organisation: int, agent: str) -> Measured | None: ...


class SqlCoverages:
    """``Coverages``. ``read`` and ``write`` run a function on a connection; a write is committed when it returns."""

    def __init__(self, read: Run, write: Run) -> None:
        self._read = read
        self._write = write

    def put(self, organisation: int, agent: str, measured: Measured) -> bool:
        """Keep it in place of the one before; false when there is no such agent."""

        def keep(connection: Connection) -> bool:
            found = agents.number(connection, organisation, agent)
            if found is None:
                return False
            rungs = json.dumps([dict(one) for one in measured.rungs], ensure_ascii=False)
            values = {"machine": measured.machine, "at": measured.at, "document": rungs}
            made = insert(_T).values(agent_id=found, **values)
            connection.execute(made.on_conflict_do_update(set_=values))
            return True

        kept: bool = self._write(keep)
        return kept

    def of(self, organisation: int, agent: str) -> Measured | None:
        """The agent's, None when nobody has measured it."""

        def look(connection: Connection) -> Measured | None:
            found = agents.number(connection, organisation, agent)
            row = connection.execute(select(_T).where(_T.c.agent_id == found)).first()
            return None if row is None else Measured(machine=row.machine, at=row.at, rungs=json.loads(row.document))

        result: Measured | None = self._read(look)
        return result
