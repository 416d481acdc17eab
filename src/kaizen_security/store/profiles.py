"""What sidecars say of an agent, what it normally does and which attach points are there: values, that part of a store."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection, Table, delete, select
from sqlalchemy.dialects.sqlite import insert

from kaizen_security.contract.action import Json
from kaizen_security.store import agents, schema

MOST = 16
"""Sidecars of one agent that are kept: the latest ones."""

Run = Callable[[Callable[[Connection], Any]], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What one sidecar said of an agent, and when (``at``, Unix seconds), in boundary form."""

    sidecar: str
    at: float
    document: Mapping[str, Json]


class Profiles(Protocol):
    """As of ``store.base.Store``: blocking, from any thread, committed on return; may raise StoreFull, StoreUnavailable."""

    def put(self, organisation: int, agent: str, profile: Profile) -> bool: ...
    def of(self, organisation: int, agent: str) -> tuple[Profile, ...]: ...


class SqlProfiles:
    """``Profiles`` in ``table``, whose rows are of one agent and sidecar each.

    ``read`` and ``write`` run a function on a connection; a write is committed when it returns.
    """

    def __init__(self, read: Run, write: Run, table: Table) -> None:
        self._read = read
        self._write = write
        self._table = table

    def put(self, organisation: int, agent: str, profile: Profile) -> bool:
        """Keep it in place of what that sidecar said before; false when there is no such agent."""
        table = self._table

        def keep(connection: Connection) -> bool:
            found = agents.number(connection, organisation, agent)
            if found is None:
                return False
            values = {"at": profile.at, "document": json.dumps(profile.document, ensure_ascii=False)}
            made = insert(table).values(agent_id=found, sidecar=profile.sidecar, **values)
            connection.execute(made.on_conflict_do_update(set_=values))
            latest = select(table.c.sidecar).where(table.c.agent_id == found).order_by(table.c.at.desc()).limit(MOST)
            connection.execute(
                delete(table).where(table.c.agent_id == found, table.c.sidecar.not_in(latest.scalar_subquery()))
            )
            return True

        kept: bool = self._write(keep)
        return kept

    def of(self, organisation: int, agent: str) -> tuple[Profile, ...]:
        """Those of an agent, the latest first."""
        table = self._table

        def look(connection: Connection) -> tuple[Profile, ...]:
            found = agents.number(connection, organisation, agent)
            statement = select(table).where(table.c.agent_id == found).order_by(table.c.at.desc())
            return tuple(
                Profile(sidecar=row.sidecar, at=row.at, document=json.loads(row.document))
                for row in connection.execute(statement)
            )

        result: tuple[Profile, ...] = self._read(look)
        return result


def told(read: Run, write: Run) -> tuple[SqlProfiles, SqlProfiles]:
    """What sidecars say that agents normally do, and which of their attach points are there."""
    return SqlProfiles(read, write, schema.profiles), SqlProfiles(read, write, schema.attached)
