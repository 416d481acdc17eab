"""Older databases are brought up to date, newer ones are refused, and the migrations come to what the program expects."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from kaizen_security.contract.errors import Misconfigured
from kaizen_security.store import migrate
from kaizen_security.store.base import NewerDatabase, VerdictQuery
from kaizen_security.store.exported import Export, Which
from kaizen_security.store.schema import metadata
from kaizen_security.store.sqlite import FILE, SqliteStore
from tests.unit.store.rows import NOW, organisation, row


@pytest.fixture
def engine(tmp_path):
    made = create_engine(f"sqlite:///{tmp_path / FILE}")
    yield made
    made.dispose()


def test_the_migrations_come_to_the_tables_that_the_program_knows(engine):
    with engine.connect() as connection:
        migrate.upgrade(connection)
        connection.commit()
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_indexes_are_the_same_down_to_their_conditions(engine, tmp_path):
    with engine.connect() as connection:
        migrate.upgrade(connection)
        connection.commit()
    other = create_engine(f"sqlite:///{tmp_path / 'other.db'}")
    metadata.create_all(other)
    other.dispose()

    def indexes(name):
        with sqlite3.connect(tmp_path / name) as connection:
            found = connection.execute("SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
            said = {line for (line,) in found}
        connection.close()
        return said

    assert indexes(FILE) == indexes("other.db")


def test_a_database_of_a_newer_program_is_refused_and_left_alone(tmp_path):
    SqliteStore(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(NewerDatabase, match="written by a newer Kaizen"):
        SqliteStore(tmp_path)
    assert (tmp_path / FILE).read_bytes() == before


def test_a_database_of_the_first_revision_is_upgraded_with_its_rows(tmp_path, engine):
    with engine.connect() as connection:
        migrate.upgrade(connection, to="0001")
        connection.exec_driver_sql(
            "INSERT INTO organisations (id, name, created_at, revision, org_policy, boundary_secret) "
            "VALUES (1, 'old', 1.0, 1, '{}', x'00')"
        )
        connection.commit()
    store = SqliteStore(tmp_path)
    assert store.organisation(1).name == "old"
    store.append(1, [row("1")]).result()
    assert len(store.verdicts(1, VerdictQuery())) == 1
    with store._readers.connect() as connection:
        assert MigrationContext.configure(connection).get_current_revision() == migrate.newest()
    store.close()


def test_a_database_that_the_first_program_wrote_is_upgraded_with_all_that_is_in_it(tmp_path):
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.executescript((Path(__file__).parent / "first.sql").read_text())
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        columns = {name: _columns(connection, name) for name in tables}
        before = {name: connection.execute(f"SELECT {columns[name]} FROM {name}").fetchall() for name in tables}
    connection.close()
    assert before["alembic_version"] == [("0001",)]
    store = SqliteStore(tmp_path)
    blocked, fine = store.verdicts(1, VerdictQuery())
    assert (blocked.decision.value, fine.action["tool"]) == ("block", "issue_refund")
    assert store.key_by_hash("ab" * 32).name == "my-agent"
    assert store.suppressions(1)[0].verdict_id == blocked.id
    sent = Export(id="e", organisation=1, name="n", kind="webhook", which=Which.ALL, sealed=b"x")
    assert store.exports.create(sent).cursor == int(blocked.id, 16)
    store.close()
    with sqlite3.connect(tmp_path / FILE) as connection:
        del before["alembic_version"]
        after = {name: connection.execute(f"SELECT {columns[name]} FROM {name}").fetchall() for name in before}
    connection.close()
    assert after == before


def _columns(connection, table):
    """What the table had then: later revisions add columns."""
    return ", ".join(column for _, column, *_ in connection.execute(f"PRAGMA table_info({table})"))


def test_organisations_of_an_older_database_get_ids_of_their_own(tmp_path, engine):
    with engine.connect() as connection:
        migrate.upgrade(connection, to="0002")
        for number in (1, 2):
            connection.exec_driver_sql(
                "INSERT INTO organisations (id, name, created_at, revision, org_policy, boundary_secret) "
                f"VALUES ({number}, 'the same', 1.0, 1, '{{}}', x'00')"
            )
        connection.commit()
    first = SqliteStore(tmp_path)
    made = first.create_organisation("the same", boundary_secret=b"s", at=1.0)
    ids = [one.public_id for one in first.organisations()]
    assert made.public_id == ids[2]
    assert len(set(ids)) == 3
    assert {len(one) for one in ids} == {32}
    first.close()
    again = SqliteStore(tmp_path)
    assert [one.public_id for one in again.organisations()] == ids
    again.close()


def test_row_numbers_never_fall_behind_what_a_destination_has_dealt_with(tmp_path):
    store = SqliteStore(tmp_path)
    number = organisation(store)
    ahead = store.append(number, [row(at=NOW + 10**6)]).result().ids[0]
    export = Export(id="e", organisation=number, name="n", kind="webhook", which=Which.ALL, sealed=b"x")
    store.exports.create(export)
    store.close()
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("DELETE FROM verdicts")
    connection.close()
    store = SqliteStore(tmp_path)
    assert store.append(number, [row(at=NOW)]).result().ids[0] > ahead
    store.close()


REVISIONS = ("0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008", "0009", "0010", "0011", "0012")


def _tables(path):
    """Every table with its columns and rows; and the indexes, by name."""
    with sqlite3.connect(path) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {
            name: [dict(zip([c[0] for c in found.description], row, strict=True)) for row in found.fetchall()]
            for name in names
            if name != "alembic_version"
            for found in [connection.execute(f"SELECT * FROM {name}")]
        }
        indexes = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        ).fetchall()
    connection.close()
    return rows, sorted(indexes)


def test_every_migration_is_in_the_way_there_and_back():
    assert migrate.newest() == REVISIONS[-1], "a new migration belongs here, with its way back"


@pytest.mark.parametrize("to", REVISIONS[:-1])
def test_a_database_taken_back_is_what_it_was_there_and_comes_forward_again_with_its_rows(tmp_path, engine, to):
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.executescript((Path(__file__).parent / "first.sql").read_text())
    connection.close()
    with engine.connect() as connection:
        migrate.upgrade(connection, to=to)
        connection.commit()
    there = _tables(tmp_path / FILE)
    store = SqliteStore(tmp_path)
    before = store.verdicts(1, VerdictQuery())
    added = store.append(1, [row("written by the newer program")]).result().ids[0]
    store.close()
    with engine.connect() as connection:
        migrate.downgrade(connection, to=to)
        connection.commit()
    back, indexes = _tables(tmp_path / FILE)
    assert indexes == there[1]
    assert {name: [list(one) for one in rows[:1]] for name, rows in back.items()} == {
        name: [list(one) for one in rows[:1]] for name, rows in there[0].items()
    }
    assert len(back["verdicts"]) == len(there[0]["verdicts"]) + 1, "what was acknowledged since is kept"
    for name in ("users", "api_keys", "suppressions", "policies"):
        assert back[name] == there[0][name]
    again = SqliteStore(tmp_path)
    assert [one.id for one in again.verdicts(1, VerdictQuery())] == [added, *(one.id for one in before)]
    again.close()


@pytest.mark.parametrize("to", ["0099", "9999", "none", ""])
def test_a_database_is_not_taken_back_to_what_is_not_older(tmp_path, engine, to):
    SqliteStore(tmp_path).close()
    with engine.connect() as connection, pytest.raises(Misconfigured):
        migrate.downgrade(connection, to=to)


def test_opening_again_changes_nothing(tmp_path):
    store = SqliteStore(tmp_path)
    number = organisation(store)
    store.close()
    store = SqliteStore(tmp_path)
    assert store.organisation(number).name == "acme"
    store.close()


def test_a_database_that_is_at_two_revisions_at_once_is_refused_in_words(tmp_path):
    SqliteStore(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("INSERT INTO alembic_version VALUES ('0003')")
    connection.close()
    with pytest.raises(Misconfigured, match="2 revisions at once"):
        SqliteStore(tmp_path)
