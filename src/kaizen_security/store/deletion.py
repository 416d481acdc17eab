"""Deleting all that is kept of one agent, in pieces, so that nobody else waits long for the writer.

What is deleted is overwritten with zeros in the database file (https://sqlite.org/pragma.html#pragma_secure_delete), and the log
that still holds the older pages is cut off as soon as no reader needs it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlalchemy import Connection, delete, func, select, update

from kaizen_security.contract.codec import encode_declaration
from kaizen_security.contract.declaration import NOTHING_DECLARED
from kaizen_security.store import agents, schema
from kaizen_security.store.base import Deleted
from kaizen_security.store.ingest import Ingest

PIECE = 2000
"""Rows deleted in one transaction."""
_PATIENCE = 1.0
_V = schema.verdicts
_J = schema.joined


@contextmanager
def _overwriting(connection: Connection) -> Iterator[None]:
    connection.exec_driver_sql("PRAGMA secure_delete = ON")
    try:
        yield
    finally:
        connection.exec_driver_sql("PRAGMA secure_delete = OFF")


def piece(connection: Connection, organisation: int, name: str) -> int:
    """Delete some of an agent's rows, the oldest first; how many those were. Fewer than PIECE: there are no more."""
    found = agents.number(connection, organisation, name)
    if found is None:
        return 0
    oldest = select(_V.c.id).where(_V.c.agent_id == found).order_by(_V.c.id).limit(PIECE)
    with _overwriting(connection):
        connection.execute(delete(_J).where(_J.c.verdict_number.in_(oldest.scalar_subquery())))
        return connection.execute(delete(_V).where(_V.c.id.in_(oldest.scalar_subquery()))).rowcount


def rest(connection: Connection, ingest: Ingest, organisation: int, name: str, rows: int) -> Deleted | None:
    """Delete the agent and all that is left of it; ``rows`` are gone already. None when there is no such agent."""
    found = agents.number(connection, organisation, name)
    if found is None:
        return None
    # What was counted in this very transaction is written first: afterwards there is no agent for it.
    ingest.flush()
    try:
        with _overwriting(connection):
            return _rest(connection, organisation, name, found, rows)
    finally:
        ingest.forget_agents()


def _rest(connection: Connection, organisation: int, name: str, number: int, rows: int) -> Deleted:
    known = agents.agent(connection, organisation, name)
    gone = {
        table.name: connection.execute(delete(table).where(table.c.agent_id == number)).rowcount
        for table in (
            schema.verdicts,
            schema.suppressions,
            schema.folds,
            schema.profiles,
            schema.attached,
            schema.coverage,
            schema.baselines,
            schema.hours,
            schema.holds,
        )
    }
    connection.execute(delete(schema.agents).where(schema.agents.c.id == number))
    owner = schema.organisations
    connection.execute(update(owner).where(owner.c.id == organisation).values(revision=owner.c.revision + 1))
    keys = schema.keys
    bound = select(func.count()).where(
        keys.c.organisation_id == organisation, keys.c.agent == name, keys.c.revoked_at == 0
    )
    return Deleted(
        verdicts=rows + gone["verdicts"],
        suppressions=gone["suppressions"],
        baseline=gone["baselines"] > 0,
        declaration=known is not None and encode_declaration(known.declaration) != encode_declaration(NOTHING_DECLARED),
        keys_left=int(connection.execute(bound).scalar_one()),
    )


def cut_log(path: Path) -> bool:
    """Move the write-ahead log into the database at ``path`` and cut it off; false when a reader still needs it.

    Then it is overwritten later: by what is written next, at the latest when the server stops.
    """
    with closing(sqlite3.connect(path, timeout=_PATIENCE)) as connection:
        try:
            [busy] = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[:1]
        except sqlite3.OperationalError:
            return False
    return not busy
