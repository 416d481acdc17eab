"""The embedded store: SQLite in WAL mode, every commit on disk before it is acknowledged (https://sqlite.org/wal.html).

One thread writes (``writer.py``), callers' threads read, each with its own connection; readers never wait for the writer.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine, NullPool, Pool, QueuePool, create_engine, event
from sqlalchemy.exc import DBAPIError, IntegrityError

from kaizen_security.contract.action import Action, Json
from kaizen_security.contract.bundle import Fold
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.errors import KaizenError, Misconfigured
from kaizen_security.contract.policy import Policy
from kaizen_security.contract.verdict import Mode
from kaizen_security.store import agents, deletion, folds, identity, migrate, rows
from kaizen_security.store.acts import SqlActs
from kaizen_security.store.base import (
    Agent,
    Appended,
    Day,
    Deleted,
    Hour,
    Key,
    NewVerdict,
    Organisation,
    Role,
    Session,
    Status,
    StoreFull,
    StoreUnavailable,
    Suppression,
    User,
    VerdictQuery,
    VerdictRow,
)
from kaizen_security.store.codes import RowIds
from kaizen_security.store.coverage import SqlCoverages
from kaizen_security.store.files import FILE, lock
from kaizen_security.store.held import SqlHeld
from kaizen_security.store.ingest import Ingest, prepare
from kaizen_security.store.models import SqlModels
from kaizen_security.store.outgoing import OutgoingExports
from kaizen_security.store.profiles import told
from kaizen_security.store.writer import Writer, alone

P = ParamSpec("P")
T = TypeVar("T")

_BUSY_SECONDS = 5.0
_LEAST_FREE = 256 << 10
_FULL = "the disk of the data directory is full: nothing was kept; make space and send it again"
_LAST = "SELECT max(n) FROM (SELECT max(id) AS n FROM verdicts UNION ALL SELECT max(cursor) FROM exports)"
_READERS = 6
_WRITER_PRAGMAS = (
    "journal_mode = WAL",
    "synchronous = FULL",
    "foreign_keys = ON",
    "cache_size = -65536",
    "temp_store = MEMORY",
    "wal_autocheckpoint = 4000",
)
_READER_PRAGMAS = ("query_only = ON", "cache_size = -16384", "temp_store = MEMORY", "mmap_size = 268435456")


def _engine(path: Path, pragmas: Sequence[str], pool: type[Pool], **options: Any) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}",
        poolclass=pool,
        isolation_level="AUTOCOMMIT",
        connect_args={"timeout": _BUSY_SECONDS, "check_same_thread": False, "cached_statements": 256},
        **options,
    )

    def opened(connection: sqlite3.Connection, _: object) -> None:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    event.listen(engine, "connect", opened)
    return engine


def _translated(error: Exception) -> Exception:
    """SQLite's error as what the caller can do about it."""
    original = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(original, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return Misconfigured(f"the database is none of Kaizen's, or is damaged ({original}): restore a backup")
    if isinstance(original, sqlite3.OperationalError):
        if code == sqlite3.SQLITE_FULL:
            return StoreFull(_FULL)
        return StoreUnavailable(f"the database cannot be used now ({original})")
    return error


class _Transaction:
    """The writer's connection. Statements of SQLAlchemy and of ``Ingest`` run on the same one; BEGIN and COMMIT are ours."""

    def __init__(self, path: Path) -> None:
        self._engine = _engine(path, _WRITER_PRAGMAS, NullPool)
        try:
            self.connection = self._engine.connect()
            driver = self.connection.connection.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            self._driver = driver
            self._migrate()
        except DBAPIError as err:
            self._engine.dispose()
            raise _translated(err) from err
        # Never below what a destination has dealt with, even when the newest rows were deleted and the clock was set back.
        last = driver.execute(_LAST).fetchone()[0] or 0
        self.ingest = Ingest(driver, RowIds(last), lambda number, name: agents.ensure(self.connection, number, name))

    def _migrate(self) -> None:
        # SQLite changes tables in transactions, so an upgrade that is cut off leaves the older form whole. Foreign keys are
        # checked again afterwards: a table that is rebuilt breaks them for a moment.
        self._driver.execute("PRAGMA foreign_keys = OFF")
        with ExitStack() as failed:
            failed.callback(self.close)
            failed.callback(self.rollback_all)
            self.begin()
            migrate.upgrade(self.connection)
            self._driver.execute("COMMIT")
            failed.pop_all()
        self._driver.execute("PRAGMA foreign_keys = ON")

    def begin(self) -> None:
        self._driver.execute("BEGIN IMMEDIATE")

    def run(self, function: Callable[[], T]) -> T:
        self._driver.execute("SAVEPOINT one")
        try:
            result = function()
        except (KaizenError, IntegrityError, sqlite3.IntegrityError) as err:
            # The caller's mistake is the caller's alone.
            self._driver.execute("ROLLBACK TO one")
            self._driver.execute("RELEASE one")
            self.ingest.forget_agents()
            raise alone(err) from err
        self._driver.execute("RELEASE one")
        return result

    def commit(self) -> None:
        self.ingest.flush()
        self._driver.execute("COMMIT")

    def rollback(self) -> None:
        self.ingest.forget()
        self.rollback_all()

    def rollback_all(self) -> None:
        if self._driver.in_transaction:
            self._driver.execute("ROLLBACK")

    def translate(self, error: Exception) -> Exception:
        return _translated(error)

    def close(self) -> None:
        self.connection.close()
        self._engine.dispose()


class SqliteStore:
    """``store.base.Store`` on one file in ``directory``, which is made when it is missing.

    ``exclusive``: for the one server of a directory; a second one is refused. Others (``kaizen keys``) open it beside a server.
    Raises Misconfigured, NewerDatabase, StoreFull, StoreUnavailable.
    """

    def __init__(self, directory: Path, *, exclusive: bool = True) -> None:
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock, self._directory = lock(directory) if exclusive else None, directory
            path = directory / FILE
            # Made here and not by SQLite, so that nobody else on the machine may read it.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        except OSError as err:
            raise Misconfigured(f"the data directory {directory} cannot be used: {err.strerror}") from err
        self._transaction: _Transaction | None = None
        with ExitStack() as failed:
            failed.callback(self._unlock)
            self._writer = Writer(lambda: self._opened(path))
            failed.pop_all()
        self._readers = _engine(path, _READER_PRAGMAS, QueuePool, pool_size=_READERS, max_overflow=0)
        self.exports, self.acts = OutgoingExports(self._read, self._write), SqlActs(self._read)
        self.holds, self.coverage = SqlHeld(self._read, self._write), SqlCoverages(self._read, self._write)
        self.models, (self.profiles, self.attached) = SqlModels(self._read, self._write), told(self._read, self._write)

    def _opened(self, path: Path) -> _Transaction:
        self._transaction = _Transaction(path)
        return self._transaction

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def close(self) -> None:
        """Write what waits, then let go of the files."""
        self._writer.close()
        self._readers.dispose()
        self._unlock()

    def _read(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            with self._readers.connect() as connection:
                return function(connection, *args, **kwargs)
        except DBAPIError as err:
            raise _translated(err) from err

    def _write(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        transaction = self._transaction
        assert transaction is not None
        return self._writer.submit(lambda: function(transaction.connection, *args, **kwargs)).result()

    # --- organisations and people ---

    def organisations(self) -> tuple[Organisation, ...]:
        return self._read(identity.organisations)

    def organisation(self, organisation: int) -> Organisation | None:
        return self._read(identity.organisation, organisation)

    def create_organisation(self, name: str, *, boundary_secret: bytes, at: float) -> Organisation:
        return self._write(identity.create_organisation, name, boundary_secret, at)

    def users(self, organisation: int) -> tuple[User, ...]:
        return self._read(identity.users, organisation)

    def user(self, name: str) -> User | None:
        return self._read(identity.user, name)

    def create_user(self, organisation: int, name: str, *, role: Role, password: str, at: float) -> User:
        return self._write(identity.create_user, organisation, name, role, password, at)

    def set_password(self, user: int, password: str) -> None:
        self._write(identity.set_password, user, password)

    def set_role(self, organisation: int, name: str, role: Role) -> User | None:
        return self._write(identity.set_role, organisation, name, role)

    def delete_user(self, organisation: int, name: str) -> bool:
        return self._write(identity.delete_user, organisation, name)

    def create_session(self, user: int, token_hash: str, *, at: float, expires_at: float) -> None:
        self._write(identity.create_session, user, token_hash, at, expires_at)

    def session(self, token_hash: str, *, now: float) -> Session | None:
        return self._read(identity.session, token_hash, now)

    def delete_session(self, token_hash: str) -> None:
        self._write(identity.delete_session, token_hash)

    def create_link(self, user: int, token_hash: str, *, expires_at: float) -> None:
        self._write(identity.create_link, user, token_hash, expires_at)

    def use_link(self, token_hash: str, *, now: float) -> User | None:
        return self._write(identity.use_link, token_hash, now)

    # --- keys ---

    def keys(self, organisation: int) -> tuple[Key, ...]:
        return self._read(identity.keys, organisation)

    def key_by_hash(self, hash_: str) -> Key | None:
        return self._read(identity.key_by_hash, hash_)

    def create_key(self, key: Key, *, replace: bool = False) -> None:
        self._write(identity.create_key, key, replace)

    def revoke_key(self, organisation: int, key_id: str, *, at: float) -> bool:
        return self._write(identity.revoke_key, organisation, key_id, at)

    def key_used(self, key_id: str, *, at: float) -> None:
        self._write(identity.key_used, key_id, at)

    # --- agents ---

    def agents(self, organisation: int) -> tuple[Agent, ...]:
        return self._read(agents.agents, organisation)

    def agent(self, organisation: int, name: str) -> Agent | None:
        return self._read(agents.agent, organisation, name)

    def declare(self, organisation: int, name: str, declaration: Declaration, *, at: float) -> Agent:
        return self._write(agents.declare, organisation, name, declaration)

    def settings(
        self,
        organisation: int,
        name: str,
        *,
        at: float,
        mode: Mode | None = None,
        paused: bool | None = None,
        judge_enabled: bool | None = None,
    ) -> Agent:
        given = {"mode": None if mode is None else mode.value, "paused": paused, "judge_enabled": judge_enabled}
        values = {name: value for name, value in given.items() if value is not None}
        return self._write(agents.change, organisation, name, values)

    def reset(self, organisation: int, name: str, *, at: float) -> bool:
        return self._write(agents.reset, organisation, name)

    def fold(self, organisation: int, name: str, action: Action) -> Fold:
        return self._write(folds.fold, organisation, name, action)

    def folds(self, organisation: int, name: str) -> tuple[Fold, ...]:
        return self._read(folds.folds, organisation, name)

    def delete_agent(self, organisation: int, name: str) -> Deleted | None:
        transaction = self._transaction
        assert transaction is not None
        rows = gone = self._write(deletion.piece, organisation, name)
        while gone == deletion.PIECE:
            gone = self._write(deletion.piece, organisation, name)
            rows += gone
        found = self._write(deletion.rest, transaction.ingest, organisation, name, rows)
        deletion.cut_log(self._directory / FILE)
        return found

    def baseline(self, organisation: int, name: str) -> bytes | None:
        return self._read(agents.baseline, organisation, name)

    def save_baselines(self, baselines: Sequence[tuple[int, str, bytes]], *, at: float) -> None:
        def save(connection: Connection) -> None:
            for organisation, name, state in baselines:
                agents.save_baseline(connection, organisation, name, state, at)

        self._write(save)

    # --- policies ---

    def policies(self, organisation: int) -> tuple[Policy, ...]:
        return self._read(agents.policies, organisation)

    def put_policy(self, organisation: int, policy: Policy, *, at: float) -> None:
        self._write(agents.put_policy, organisation, policy, at)

    def delete_policy(self, organisation: int, name: str) -> bool:
        return self._write(agents.delete_policy, organisation, name)

    def org_policy(self, organisation: int) -> dict[str, Json]:
        return self._read(agents.org_policy, organisation)

    def set_org_policy(self, organisation: int, document: dict[str, Json]) -> None:
        self._write(agents.set_org_policy, organisation, document)

    # --- verdicts ---

    def append(self, organisation: int, rows: Sequence[NewVerdict]) -> Future[Appended]:
        transaction = self._transaction
        assert transaction is not None
        if not rows:
            empty: Future[Appended] = Future()
            empty.set_result(Appended(ids=()))
            return empty
        prepared = [prepare(row) for row in rows]
        at = rows[-1].created_at
        return self._writer.submit(lambda: transaction.ingest.append(organisation, prepared, at))

    def verdicts(self, organisation: int, query: VerdictQuery) -> tuple[VerdictRow, ...]:
        return self._read(rows.verdicts, organisation, query)

    def verdict(self, organisation: int, verdict_id: str) -> VerdictRow | None:
        return self._read(rows.verdict, organisation, verdict_id)

    def set_status(self, organisation: int, verdict_id: str, status: Status, *, at: float) -> VerdictRow | None:
        return self._write(rows.set_status, organisation, verdict_id, status, at)

    def suppressions(self, organisation: int) -> tuple[Suppression, ...]:
        return self._read(rows.suppressions, organisation)

    def suppress(self, organisation: int, suppression: Suppression) -> None:
        self._write(rows.suppress, organisation, suppression)

    def unsuppress(self, organisation: int, agent: str, signature: str) -> bool:
        return self._write(rows.unsuppress, organisation, agent, signature)

    def days(self, organisation: int, *, since: str) -> tuple[Day, ...]:
        return self._read(rows.days, organisation, since)

    def hours(self, organisation: int, *, since: float, agent: str = "") -> tuple[Hour, ...]:
        return self._read(rows.hours, organisation, since, agent)

    def check_writable(self) -> None:
        """Raises StoreFull or StoreUnavailable when rows could not be kept now, or hardly: a full disk still takes a page."""
        if shutil.disk_usage(self._directory).free < _LEAST_FREE:
            raise StoreFull(_FULL)
        self._write(identity.touch)
