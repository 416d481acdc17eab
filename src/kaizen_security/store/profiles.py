"""What sidecars say that an agent normally does: values, the protocol of that part of a store, its statements."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.sqlite import insert

from kaizen_security.contract.action import Json
from kaizen_security.store import agents, schema

MOST = 16
"""Sidecars of one agent that are kept: the latest ones."""

Run = Callable[[Callable[[Connection], Any]], Any]
_T = schema.profiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What one sidecar knew of an agent when it said so (``at``, Unix seconds), in boundary form."""

    sidecar: str
    at: float
    document: Mapping[str, Json]


class Profiles(Protocol):
    """As of ``store.base.Store``: blocking, from any thread, committed on return; may raise StoreFull, StoreUnavailable."""

    def put(self, organisation: int, agent: str, profile: Profile) -> bool: ...
    def of(self, organisation: int, agent: str) -> tuple[Profile, ...]: ...


class SqlProfiles:
    """``Profiles``. ``read`` and ``write`` run a function on a connection; a write is committed when it returns."""

    def __init__(self, read: Run, write: Run) -> None:
        self._read = read
        self._write = write

    def put(self, organisation: int, agent: str, profile: Profile) -> bool:
        """Keep it in place of what that sidecar said before; false when there is no such agent."""

        def keep(connection: Connection) -> bool:
            found = agents.number(connection, organisation, agent)
            if found is None:
                return False
            values = {"at": profile.at, "document": json.dumps(profile.document, ensure_ascii=False)}
            made = insert(_T).values(agent_id=found, sidecar=profile.sidecar, **values)
            connection.execute(made.on_conflict_do_update(set_=values))
            latest = select(_T.c.sidecar).where(_T.c.agent_id == found).order_by(_T.c.at.desc()).limit(MOST)
            connection.execute(delete(_T).where(_T.c.agent_id == found, _T.c.sidecar.not_in(latest.scalar_subquery())))
            return True

        kept: bool = self._write(keep)
        return kept

    def of(self, organisation: int, agent: str) -> tuple[Profile, ...]:
        """Those of an agent, the latest first."""

        def look(connection: Connection) -> tuple[Profile, ...]:
            found = agents.number(connection, organisation, agent)
            statement = select(_T).where(_T.c.agent_id == found).order_by(_T.c.at.desc())
            return tuple(
                Profile(sidecar=row.sidecar, at=row.at, document=json.loads(row.document))
                for row in connection.execute(statement)
            )

        result: tuple[Profile, ...] = self._read(look)
        return result
