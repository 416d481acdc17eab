"""Backup and restore: whole or not at all, never onto a running server, never losing what was there."""

from __future__ import annotations

import sqlite3
import stat
import threading

import pytest

from kaizen_security.contract.errors import InvalidInput, Misconfigured
from kaizen_security.server import operations, passwords
from kaizen_security.server.operations import AHEAD, Damaged, backup, look, restore
from kaizen_security.server.setup import first_start, sign_in_link
from kaizen_security.store.base import NewerDatabase, Role, VerdictQuery
from kaizen_security.store.files import FILE
from kaizen_security.store.sqlite import SqliteStore
from tests.unit.store.rows import NOW, row


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


def filled(data, rows=3):
    """A store of one organisation with rows; its number is 1."""
    store = SqliteStore(data)
    organisation = first_start(store, lambda: NOW).organisation.id
    store.append(organisation, [row(f"first-{i}") for i in range(rows)]).result(60)
    return store


def ids(data):
    store = SqliteStore(data)
    found = {one.action_id for one in store.verdicts(1, VerdictQuery(limit=1000))}
    store.close()
    return found


def test_a_backup_is_taken_while_rows_come_in_and_holds_every_row_that_was_acknowledged_before(data, tmp_path):
    store = filled(data)
    stop = threading.Event()

    def report():
        i = 0
        while not stop.is_set():
            i += 1
            store.append(1, [row(f"later-{i}")]).result(60)

    reporter = threading.Thread(target=report)
    reporter.start()
    try:
        found = backup(data, tmp_path / "b.db")
    finally:
        stop.set()
        reporter.join()
        store.close()
    assert found.verdicts >= 3
    assert found == look(tmp_path / "b.db")
    restore(tmp_path / "b.db", tmp_path / "other", at=NOW)
    assert {f"first-{i}" for i in range(3)} <= ids(tmp_path / "other")


def test_a_backup_is_one_file_for_this_user_alone(data, tmp_path):
    filled(data).close()
    (tmp_path / "to").mkdir()
    backup(data, tmp_path / "to" / "b.db")
    look(tmp_path / "to" / "b.db")
    assert [path.name for path in (tmp_path / "to").iterdir()] == ["b.db"]
    assert stat.S_IMODE((tmp_path / "to" / "b.db").stat().st_mode) == 0o600


def test_a_file_that_is_there_is_replaced_only_when_that_is_asked_for(data, tmp_path):
    filled(data).close()
    to = tmp_path / "b.db"
    to.write_text("something else")
    with pytest.raises(Misconfigured, match="exists"):
        backup(data, to)
    assert to.read_text() == "something else"
    assert backup(data, to, replace=True).verdicts == 3
    with pytest.raises(Misconfigured, match="exists"):
        backup(data, tmp_path, replace=True)


def test_a_backup_that_cannot_be_made_leaves_no_file(data, tmp_path):
    with pytest.raises(Misconfigured, match="no Kaizen database"):
        backup(data, tmp_path / "b.db")
    data.mkdir()
    (data / FILE).write_bytes(b"not a database at all" * 500)
    with pytest.raises(Damaged):
        backup(data, tmp_path / "b.db")
    with pytest.raises(Misconfigured, match="cannot be written"):
        backup(data, tmp_path / "nowhere" / "b.db")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_restore_brings_back_what_was_and_keeps_what_is(data, tmp_path):
    store = filled(data)
    backup(data, tmp_path / "b.db")
    store.append(1, [row("after")]).result(60)
    revision = store.organisation(1).revision
    store.close()
    done = restore(tmp_path / "b.db", data, at=NOW)
    assert done.done
    assert ids(data) == {f"first-{i}" for i in range(3)}
    assert ids(done.aside) == {"after", *(f"first-{i}" for i in range(3))}
    store = SqliteStore(data)
    # A client that has seen the newer revision would refuse an older one as a rollback.
    assert store.organisation(1).revision >= revision + AHEAD
    store.close()
    assert stat.S_IMODE((data / FILE).stat().st_mode) == 0o600


def test_nobody_stays_signed_in_after_a_restore(data, tmp_path):
    store = filled(data)
    user = operations.find(store)
    store.create_session(user.id, "s" * 64, at=NOW, expires_at=NOW + 3600)
    link = passwords.token_hash(sign_in_link(store, clock=lambda: NOW))
    backup(data, tmp_path / "b.db")
    store.close()
    restore(tmp_path / "b.db", data, at=NOW)
    store = SqliteStore(data)
    assert store.session("s" * 64, now=NOW) is None
    assert store.use_link(link, now=NOW) is None
    store.close()


def test_a_dry_run_says_what_would_be_restored_and_changes_nothing(data, tmp_path):
    filled(data).close()
    backup(data, tmp_path / "b.db")
    before = (data / FILE).read_bytes()
    for directory in (data, tmp_path / "new"):
        done = restore(tmp_path / "b.db", directory, at=NOW, dry_run=True)
        assert (done.done, done.aside, done.contents.verdicts) == (False, None, 3)
    assert (data / FILE).read_bytes() == before
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("dry_run", [False, True])
def test_nothing_is_restored_under_a_running_server(data, tmp_path, dry_run):
    store = filled(data)
    backup(data, tmp_path / "b.db")
    with pytest.raises(Misconfigured, match="another Kaizen server"):
        restore(tmp_path / "b.db", data, at=NOW, dry_run=dry_run)
    store.append(1, [row("goes on")]).result(60)
    store.close()
    assert "goes on" in ids(data)


def aged(path, revision):
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    connection.close()


def test_neither_a_newer_backup_is_restored_nor_anything_over_a_newer_database(data, tmp_path):
    filled(data).close()
    backup(data, tmp_path / "b.db")
    aged(data / FILE, "9999_of_tomorrow")
    with pytest.raises(NewerDatabase, match="9999_of_tomorrow"):
        restore(tmp_path / "b.db", data, at=NOW)
    with pytest.raises(NewerDatabase):
        backup(data, tmp_path / "c.db")
    aged(tmp_path / "b.db", "9999_of_tomorrow")
    with pytest.raises(NewerDatabase):
        restore(tmp_path / "b.db", tmp_path / "new", at=NOW)
    assert not (tmp_path / "new").exists()


def test_a_damaged_backup_is_refused_and_a_damaged_database_is_replaced_and_kept(data, tmp_path):
    filled(data, rows=500).close()
    backup(data, tmp_path / "b.db")
    whole = (tmp_path / "b.db").read_bytes()
    middle = len(whole) // 2
    (tmp_path / "bad.db").write_bytes(whole[:middle] + b"\xff" * 4096 + whole[middle + 4096 :])
    (tmp_path / "cut.db").write_bytes(whole[: len(whole) - 8192])
    (tmp_path / "none.db").write_bytes(b"")
    for name in ("bad.db", "cut.db", "none.db"):
        with pytest.raises(Damaged):
            restore(tmp_path / name, data, at=NOW)
    assert len(ids(data)) == 500
    (data / FILE).write_bytes(b"\xff" * 20_000)
    (data / f"{FILE}-wal").write_bytes(b"left by a crash")
    done = restore(tmp_path / "b.db", data, at=NOW)
    assert (done.aside / FILE).read_bytes() == b"\xff" * 20_000
    assert len(ids(data)) == 500


def test_a_database_of_something_else_is_not_restored(data, tmp_path):
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE songs (name TEXT)")
    connection.close()
    with pytest.raises(Damaged, match="no Kaizen database"):
        restore(tmp_path / "other.db", data, at=NOW)


def test_a_new_password_ends_sessions_and_links_and_is_the_only_one_that_works(data):
    store = filled(data)
    user = operations.find(store)
    store.create_session(user.id, "s" * 64, at=NOW, expires_at=NOW + 3600)
    link = passwords.token_hash(sign_in_link(store, clock=lambda: NOW))
    made = operations.new_password(store)
    assert made.user == "admin"
    assert made.password not in repr(made)
    assert passwords.check_password(made.password, store.user("admin").password)
    assert store.session("s" * 64, now=NOW) is None
    assert store.use_link(link, now=NOW) is None
    with pytest.raises(Misconfigured, match="no such user"):
        operations.new_password(store, "nobody")
    store.close()


def test_another_user_is_added_once(data):
    store = filled(data)
    made = operations.add_user(store, "vera", Role.VIEWER, at=NOW)
    assert store.user("vera").role is Role.VIEWER
    assert passwords.check_password(made.password, store.user("vera").password)
    with pytest.raises(InvalidInput, match="taken"):
        operations.add_user(store, "vera", Role.ADMIN, at=NOW)
    store.close()
