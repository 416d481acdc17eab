"""What is acknowledged is on disk; what is not on disk is not acknowledged."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from concurrent.futures import Future
from pathlib import Path

import pytest

from kaizen_security.contract.errors import InvalidInput, Misconfigured
from kaizen_security.store.base import Role, StoreFull, StoreUnavailable, VerdictQuery
from kaizen_security.store.sqlite import FILE, SqliteStore
from kaizen_security.store.writer import Writer, alone
from tests.unit.store.rows import NOW, organisation, row

ROOT = Path(__file__).parents[3]


class Journal:
    """A transaction that only writes down what it is asked to do."""

    def __init__(self):
        self.steps = []
        self.fails = None
        self.gate = threading.Event()
        self.gate.set()

    def begin(self):
        self.gate.wait(60)
        self.steps.append("begin")

    def run(self, function):
        return function()

    def commit(self):
        if self.fails:
            raise self.fails
        self.steps.append("commit")

    def rollback(self):
        self.steps.append("rollback")

    def translate(self, error):
        return StoreUnavailable(str(error))

    def close(self):
        self.steps.append("close")


@pytest.fixture
def journal():
    return Journal()


@pytest.fixture
def writer(journal):
    made = Writer(lambda: journal)
    yield made
    made.close()


def test_what_waits_is_committed_together_and_nobody_is_told_before(journal, writer):
    journal.gate.clear()
    first = writer.submit(lambda: 1)
    waiting = [writer.submit(lambda i=i: i) for i in range(50)]
    assert not first.done()
    journal.gate.set()
    assert [future.result(60) for future in waiting] == list(range(50))
    assert journal.steps == ["begin", "commit"] * 2 or journal.steps == ["begin", "commit"]


def test_a_failed_commit_is_told_to_every_caller_and_the_thread_lives_on(journal, writer):
    journal.fails = OSError("gone")
    with pytest.raises(StoreUnavailable, match="gone"):
        writer.submit(lambda: 1).result(60)
    journal.fails = None
    assert writer.submit(lambda: 2).result(60) == 2
    assert journal.steps == ["begin", "rollback", "begin", "commit"]


def test_one_callers_mistake_is_not_the_others(journal, writer):
    def wrong():
        raise alone(InvalidInput("name", "is taken"))

    journal.gate.clear()
    futures = [writer.submit(function) for function in (lambda: 1, wrong, lambda: 3)]
    journal.gate.set()
    assert futures[0].result(60) == 1
    assert futures[2].result(60) == 3
    with pytest.raises(InvalidInput, match="is taken"):
        futures[1].result(60)


def test_a_closed_writer_wrote_what_waited_and_takes_no_more(journal, writer):
    futures = [writer.submit(lambda: 1) for _ in range(300)]
    writer.close()
    assert all(future.result(0) == 1 for future in futures)
    assert journal.steps[-1] == "close"
    with pytest.raises(StoreUnavailable):
        writer.submit(lambda: 1)


def test_a_database_that_cannot_be_opened_is_told_to_whoever_opens_it():
    def broken():
        raise Misconfigured("no")

    with pytest.raises(Misconfigured, match="no"):
        Writer(broken)


def test_rows_outlive_the_process(tmp_path):
    store = SqliteStore(tmp_path)
    acme = organisation(store)
    store.append(acme, [row("1")]).result()
    store.close()
    store = SqliteStore(tmp_path)
    assert [one.action_id for one in store.verdicts(acme, VerdictQuery())] == ["1"]
    [newer] = store.append(acme, [row("2", at=NOW - 1000)]).result().ids
    assert newer > store.verdicts(acme, VerdictQuery())[1].id, "numbers only grow, whatever the clock does"
    store.close()


def test_nobody_else_on_the_machine_may_read_it(tmp_path):
    store = SqliteStore(tmp_path / "data")
    organisation(store)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "data").iterdir()}
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    store.close()


def test_a_second_server_on_a_directory_is_refused_and_the_keys_command_is_not(store, tmp_path):
    with pytest.raises(Misconfigured, match="another Kaizen server is using"):
        SqliteStore(tmp_path / "data")
    beside = SqliteStore(tmp_path / "data", exclusive=False)
    acme = organisation(beside)
    assert store.organisation(acme) is not None
    beside.close()


def test_a_directory_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Misconfigured, match="file"):
        SqliteStore(tmp_path / "file")


def test_what_is_no_database_is_refused_in_words(tmp_path):
    (tmp_path / FILE).write_text("this is not a database, but it is long enough to look like one to somebody" * 20)
    with pytest.raises(Misconfigured, match="damaged"):
        SqliteStore(tmp_path)


def limit_pages(store, pages):
    """Let the database grow by that many pages and no more: SQLite then answers SQLITE_FULL, as a full disk makes it."""
    driver = store._transaction._driver

    def limit(connection):
        now = driver.execute("PRAGMA page_count").fetchone()[0]
        driver.execute(f"PRAGMA max_page_count = {now + pages if pages else 4294967294}")

    store._write(limit)


def fill(store, acme, kept):
    for i in range(1000):
        store.append(acme, [row(f"{i}-{j}") for j in range(20)]).result()
        kept.append(i)


def test_a_full_disk_acknowledges_nothing_and_recovers(store):
    acme = organisation(store)
    limit_pages(store, 3)
    kept = []
    with pytest.raises(StoreFull, match=r"disk .* is full"):
        fill(store, acme, kept)
    found = {one.action_id.split("-")[0] for one in store.verdicts(acme, VerdictQuery(limit=1000))}
    assert found == {str(i) for i in kept}, "all that was acknowledged and nothing else"
    limit_pages(store, 0)
    store.check_writable()
    store.append(acme, [row("after", agent="new one")]).result()
    assert store.verdicts(acme, VerdictQuery(agent="new one"))[0].action_id == "after"
    assert store.agent(acme, "billing").actions == len(kept) * 20


@pytest.fixture
def small_disk(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small tmpfs needs root")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


@pytest.mark.root
def test_a_disk_that_is_really_full_is_told_and_space_mends_it(small_disk):
    ballast = small_disk / "ballast"
    store = SqliteStore(small_disk / "data")
    acme = organisation(store)
    ballast.write_bytes(bytes(2 << 20))
    kept = []
    with pytest.raises(StoreFull):
        fill(store, acme, kept)
    with pytest.raises(StoreFull):
        store.append(acme, [row(f"big-{j}") for j in range(1000)]).result()
    found = {one.action_id.split("-")[0] for one in store.verdicts(acme, VerdictQuery(limit=1000))}
    assert found == {str(i) for i in kept}
    ballast.unlink()
    store.append(acme, [row("after")]).result()
    store.close()
    store = SqliteStore(small_disk / "data")
    assert store.verdicts(acme, VerdictQuery())[0].action_id == "after"
    store.close()


def test_one_call_that_breaks_a_rule_of_the_database_undoes_only_itself(store):
    acme = organisation(store)
    good = store.append(acme, [row("1")])
    with pytest.raises(Exception, match="FOREIGN KEY"):
        store.create_user(999, "x", role=Role.ADMIN, password="", at=NOW)
    assert good.result().ids
    assert store.append(acme, [row("2")]).result().ids


WRITE = """
import sys
from pathlib import Path
from kaizen_security.store.sqlite import SqliteStore
from tests.unit.store.rows import row
store = SqliteStore(Path(sys.argv[1]))
for i in range(1_000_000):
    batch = [row(f"{i}-{j}") for j in range(7)]
    store.append(1, batch).result()
    print(i, flush=True)
"""


@pytest.mark.parametrize("lines", [3, 60, 200])
def test_a_process_killed_while_it_writes_has_lost_nothing_that_it_acknowledged(tmp_path, lines):
    store = SqliteStore(tmp_path)
    acme = organisation(store)
    store.close()
    child = subprocess.Popen(
        [sys.executable, "-c", WRITE, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=ROOT, env=dict(os.environ)
    )
    acknowledged = [child.stdout.readline().strip() for _ in range(lines)]
    child.send_signal(signal.SIGKILL)
    acknowledged += [line.strip() for line in child.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
    child.wait(60)
    child.stdout.close()
    assert len(acknowledged) >= lines
    store = SqliteStore(tmp_path)
    found: dict[str, int] = {}
    offset = 0
    while page := store.verdicts(acme, VerdictQuery(limit=1000, offset=offset)):
        offset += len(page)
        for one in page:
            batch = one.action_id.split("-")[0]
            found[batch] = found.get(batch, 0) + 1
    assert set(acknowledged) <= set(found)
    assert set(found.values()) == {7}, "a batch is there whole or not at all"
    assert store.agent(acme, "billing").actions == sum(found.values())
    store.close()


def test_the_future_of_an_append_is_a_future(store):
    assert isinstance(store.append(organisation(store), [row("1")]), Future)
    assert sqlite3.sqlite_version_info >= (3, 35)
