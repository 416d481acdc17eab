"""Backup, restore, lost passwords: what the person who runs a control plane does beside it. For entry points, not for requests.

A backup is one SQLite file, made by SQLite's online backup while the server runs (https://sqlite.org/backup.html). It holds what
the database holds: hashes of keys and passwords, and the secret that the boundary's hashes are keyed with.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import NullPool, create_engine

from kaizen_security.contract.errors import KaizenError, Misconfigured
from kaizen_security.server import passwords
from kaizen_security.store import migrate
from kaizen_security.store.base import NewerDatabase, Role, Store, User
from kaizen_security.store.files import FILE, lock

AHEAD = 100_000
"""How far a restored organisation's revision is moved on: clients refuse what is older than what they have seen (a rollback)."""
_LOGS = ("-wal", "-shm")


class Damaged(KaizenError):
    """The file is no whole Kaizen database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a database file holds. ``newest``: when its newest row was made, Unix seconds, 0.0 when there is none."""

    path: Path
    size: int
    revision: str
    organisations: int
    agents: int
    verdicts: int
    newest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """``aside`` is the directory that the older database was moved to, None when there was none (or nothing was done)."""

    contents: Contents
    aside: Path | None
    done: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPassword:
    """A person's new password, to be shown once."""

    user: str
    password: str = field(repr=False)


def look(path: Path) -> Contents:
    """Check a database file from end to end and say what it holds. Raises Misconfigured, Damaged, NewerDatabase."""
    if not path.is_file():
        raise Misconfigured(f"there is no file {path}")
    try:
        with closing(_opened(path)) as connection:
            return _looked(connection, path)
    except sqlite3.DatabaseError as err:
        raise Damaged(f"{path} is no Kaizen database, or is damaged ({err})") from err


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)


def _looked(connection: sqlite3.Connection, path: Path) -> Contents:
    def one(statement: str) -> object:
        return connection.execute(statement).fetchone()[0]

    # Of a file that is none of ours, this says so first ("no such table").
    revision = str(one("SELECT version_num FROM alembic_version"))
    found = str(one("PRAGMA integrity_check(1)"))
    if found != "ok":
        raise Damaged(f"{path} is damaged: {found}")
    if connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
        raise Damaged(f"{path} is damaged: rows point at others that are not there")
    if not migrate.knows(revision):
        raise NewerDatabase(f"{path} was written by a newer Kaizen (revision {revision}): use that one")
    return Contents(
        path=path,
        size=path.stat().st_size,
        revision=revision,
        organisations=int(str(one("SELECT count(*) FROM organisations"))),
        agents=int(str(one("SELECT count(*) FROM agents"))),
        verdicts=int(str(one("SELECT count(*) FROM verdicts"))),
        newest=float(str(one("SELECT coalesce(max(created_at), 0) FROM verdicts"))),
    )


def backup(directory: Path, to: Path, *, replace: bool = False) -> Contents:
    """Copy the database of ``directory``, in use or not, to the file ``to``: whole and checked, or not at all. Mode 0600.

    What a server learned in its last five seconds is not in it. Raises Misconfigured (no database, ``to`` exists, nowhere to
    write), Damaged.
    """
    source = _database(directory)
    if to.exists() and not (replace and to.is_file()):
        raise Misconfigured(f"{to} exists: give another name" + (", or --replace" if to.is_file() else ""))
    with _beside(to) as copy:
        _copied(source, copy)
        found = look(copy)
        _placed(copy, to)
    return Contents(**{name: getattr(found, name) for name in Contents.__slots__} | {"path": to})


def _database(directory: Path) -> Path:
    path = directory / FILE
    if not path.is_file():
        raise Misconfigured(f"there is no Kaizen database in {directory}: give --data")
    return path


@contextmanager
def _beside(to: Path) -> Iterator[Path]:
    """A new empty file in the directory of ``to``, for this user alone, gone at the end unless it was moved."""
    try:
        number, name = tempfile.mkstemp(prefix=f".{to.name}.", dir=to.absolute().parent)
    except OSError as err:
        raise Misconfigured(f"{to} cannot be written: {err.strerror}") from err
    os.close(number)
    try:
        yield Path(name)
    except OSError as err:
        raise Misconfigured(f"{to} cannot be written: {err.strerror}") from err
    finally:
        for ending in ("", "-journal", *_LOGS):
            Path(name + ending).unlink(missing_ok=True)


def _copied(source: Path, copy: Path) -> None:
    try:
        with closing(_opened(source)) as reading, closing(sqlite3.connect(copy)) as writing:
            # In one step: the copy is of one instant, and in WAL mode a reader keeps no writer waiting.
            reading.backup(writing)
            # The copy says of itself that it is in WAL mode; a file that is carried around is better alone.
            writing.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.OperationalError as err:
        raise Misconfigured(f"the copy cannot be made: {err}") from err
    except sqlite3.DatabaseError as err:
        raise Damaged(f"{source} is no Kaizen database, or is damaged ({err})") from err


def _placed(copy: Path, to: Path) -> None:
    """Give ``copy`` the name ``to``, so that after a crash there is the old file or the new one, whole."""
    _on_disk(copy)
    copy.replace(to)
    _on_disk(to.absolute().parent)


def _on_disk(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def restore(backup_file: Path, directory: Path, *, at: float, dry_run: bool = False) -> Restored:
    """Put a backup in place of the database of ``directory``, which is moved aside. ``at``: Unix seconds.

    Nobody stays signed in, and no sign-in link works any more. ``dry_run`` checks everything and changes nothing.
    Raises Misconfigured (a server is running there), NewerDatabase (the backup, or what is there), Damaged.
    """
    found = look(backup_file)
    if not directory.is_dir():
        if dry_run:
            return Restored(contents=found, aside=None, done=False)
        directory.mkdir(mode=0o700, parents=True)
    held = lock(directory)
    try:
        revision = _revision_there(directory / FILE)
        if dry_run:
            return Restored(contents=found, aside=None, done=False)
        return Restored(contents=found, aside=_restored(backup_file, directory, revision, at), done=True)
    finally:
        os.close(held)


def _revision_there(path: Path) -> int:
    """The highest revision of the organisations in the older database; 0 when it cannot be read. Raises NewerDatabase."""
    if not path.exists():
        return 0
    try:
        with closing(sqlite3.connect(path)) as connection:
            version = str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])
            if not migrate.knows(version):
                raise NewerDatabase(
                    f"the database in {path.parent} was written by a newer Kaizen (revision {version}): "
                    "restore with that one, or into another directory"
                )
            revision = connection.execute("SELECT coalesce(max(revision), 0) FROM organisations").fetchone()[0]
            # What still stands in its log belongs to it.
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return int(revision)
    except (sqlite3.DatabaseError, TypeError):
        # A damaged database is what backups are for.
        return 0


def _restored(backup_file: Path, directory: Path, revision: int, at: float) -> Path | None:
    path = directory / FILE
    with _beside(path) as copy:
        _copied(backup_file, copy)
        with closing(sqlite3.connect(copy)) as connection, connection:
            for table in ("sessions", "sign_in_links"):
                connection.execute(f"DELETE FROM {table}")  # noqa: S608 - two names of ours
            connection.execute("UPDATE organisations SET revision = max(revision, ?) + ?", (revision, AHEAD))
        look(copy)
        aside = _moved_aside(path, at)
        _placed(copy, path)
    return aside


def _moved_aside(path: Path, at: float) -> Path | None:
    """Keep what is at ``path`` in a directory of its own. It also stays where it is, until it is replaced: never is there none."""
    if not path.exists():
        return None
    name = datetime.fromtimestamp(at, UTC).strftime("replaced-%Y%m%dT%H%M%S.%fZ")
    aside = path.parent / name
    aside.mkdir(mode=0o700)
    # A log that stayed would be taken for the restored database's own.
    for ending in _LOGS:
        log = path.with_name(path.name + ending)
        if log.exists():
            log.rename(aside / log.name)
    os.link(path, aside / path.name)
    _on_disk(aside)
    return aside


def take_back(directory: Path, to: str, *, at: float) -> Restored:
    """Bring the database of ``directory`` to the form of an older program (revision ``to``), which then can start on it.

    What was acknowledged stays; what the older form has no place for is only in the directory that is moved aside. ``at``: Unix
    seconds. Raises Misconfigured (a server is running there, there is no database, or no such way back), NewerDatabase, Damaged.
    """
    path = directory / FILE
    look(path)
    held = lock(directory)
    try:
        _revision_there(path)
        with _beside(path) as copy:
            _copied(path, copy)
            engine = create_engine(f"sqlite:///{copy}", isolation_level="AUTOCOMMIT", poolclass=NullPool)
            with engine.connect() as connection:
                migrate.downgrade(connection, to=to)
            look(copy)
            aside = _moved_aside(path, at)
            _placed(copy, path)
        return Restored(contents=look(path), aside=aside, done=True)
    finally:
        os.close(held)


def new_password(store: Store, user: str = "") -> NewPassword:
    """A new password for ``user`` (the first administrator when not given); the old one's sessions end. Raises Misconfigured."""
    person = find(store, user)
    password = passwords.new_password()
    store.set_password(person.id, passwords.hash_password(password))
    return NewPassword(user=person.name, password=password)


def add_user(store: Store, name: str, role: Role, *, at: float) -> NewPassword:
    """A new person of the first organisation. Raises InvalidInput when the name is taken, Misconfigured."""
    password = passwords.new_password()
    organisation = people(store)[0].organisation
    made = store.create_user(organisation, name, role=role, password=passwords.hash_password(password), at=at)
    return NewPassword(user=made.name, password=password)


def people(store: Store) -> tuple[User, ...]:
    """The first organisation's people, oldest first. Raises Misconfigured when there is nobody."""
    found = store.organisations()
    users = store.users(found[0].id) if found else ()
    if not users:
        raise Misconfigured("this data directory has no organisation yet: start the server once")
    return users


def find(store: Store, name: str = "") -> User:
    """The person of that name, the first administrator when none is given. Raises Misconfigured."""
    chosen = [one for one in people(store) if (one.name == name if name else one.role is Role.ADMIN)]
    if not chosen:
        raise Misconfigured("there is no such user: see kaizen admin users")
    return chosen[0]
