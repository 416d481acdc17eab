"""Deleting an agent's data leaves nothing of it, and everything of the others."""

from __future__ import annotations

import threading

import pytest

from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.errors import KaizenError
from kaizen_security.store import deletion
from kaizen_security.store.base import Suppression, VerdictQuery
from kaizen_security.store.files import FILE
from kaizen_security.store.sqlite import SqliteStore
from tests.unit.store.rows import NOW, UNDECLARED, organisation, row

CANARY = "canary-7f3a9c41"


def fill(store, tenant, agent, rows=3):
    made = [
        row(f"{agent}-{i}", agent=agent, target=f"{CANARY}-{agent}.example", evidence=(UNDECLARED,))
        for i in range(rows)
    ]
    kept = store.append(tenant, made).result(60)
    store.declare(tenant, agent, Declaration(tools=(f"{CANARY}-{agent}",)), at=NOW)
    store.save_baselines([(tenant, agent, f"{CANARY}-{agent}".encode())], at=NOW)
    entry = Suppression(agent=agent, signature=f"{CANARY}-{agent}", verdict_id=kept.ids[0], created_at=NOW)
    store.suppress(tenant, entry)


def bytes_of(directory):
    return b"".join(path.read_bytes() for path in directory.iterdir())


def test_nothing_is_left_of_an_agent_and_all_of_the_others(store):
    tenant, other = organisation(store), organisation(store, "other")
    for owner, agent in ((tenant, "gone"), (tenant, "stays"), (other, "gone")):
        fill(store, owner, agent)
    revision = store.organisation(tenant).revision
    gone = store.delete_agent(tenant, "gone")
    assert (gone.verdicts, gone.suppressions, gone.baseline, gone.declaration, gone.keys_left) == (3, 1, True, True, 0)
    assert store.agent(tenant, "gone") is None
    assert store.baseline(tenant, "gone") is None
    assert {found.agent for found in store.verdicts(tenant, VerdictQuery())} == {"stays"}
    assert [entry.agent for entry in store.suppressions(tenant)] == ["stays"]
    assert [hour.agent for hour in store.hours(tenant, since=0.0)] == ["stays"]
    assert store.organisation(tenant).revision > revision, "bundles with the old declaration are out of date"
    assert len(store.verdicts(other, VerdictQuery(agent="gone"))) == 3
    assert store.baseline(other, "gone") is not None


def test_no_byte_of_it_stays_in_the_data_directory(tmp_path):
    store = SqliteStore(tmp_path)
    tenant = organisation(store)
    fill(store, tenant, "gone", rows=400)
    fill(store, tenant, "stays", rows=400)
    store.delete_agent(tenant, "gone")
    assert f"{CANARY}-gone".encode() not in bytes_of(tmp_path), "while the store is open"
    store.close()
    left = bytes_of(tmp_path)
    assert f"{CANARY}-gone".encode() not in left
    assert f"{CANARY}-stays".encode() in left


def test_an_agent_that_is_not_known_is_not_deleted(store):
    assert store.delete_agent(organisation(store), "nobody") is None


@pytest.mark.parametrize("rows", [0, 1, deletion.PIECE, deletion.PIECE + 1])
def test_however_many_rows_there_are_all_are_deleted_and_counted(store, rows):
    tenant = organisation(store)
    store.append(tenant, [row(str(i)) for i in range(rows)]).result(30)
    store.declare(tenant, "billing", Declaration(), at=NOW)
    gone = store.delete_agent(tenant, "billing")
    assert (gone.verdicts, gone.declaration) == (rows, False)
    assert store.verdicts(tenant, VerdictQuery()) == ()


def test_an_agent_that_goes_on_reporting_starts_anew_and_no_acknowledged_row_is_in_between(store):
    tenant = organisation(store)
    stop = threading.Event()
    failures = []

    def report():
        i = 0
        while not stop.is_set():
            i += 1
            try:
                store.append(tenant, [row(f"id-{i}")]).result(60)
            except KaizenError as err:
                failures.append(err)

    reporter = threading.Thread(target=report)
    reporter.start()
    for _ in range(25):
        store.delete_agent(tenant, "billing")
    stop.set()
    reporter.join()
    assert failures == []
    store.append(tenant, [row("last")]).result(60)
    left = len(store.verdicts(tenant, VerdictQuery(limit=1000)))
    assert store.agent(tenant, "billing").actions == left


def test_the_log_is_not_cut_while_somebody_reads_and_nothing_fails(store, tmp_path):
    tenant = organisation(store)
    fill(store, tenant, "gone")
    with store._readers.connect() as reader:
        reader.exec_driver_sql("BEGIN")
        reader.exec_driver_sql("SELECT count(*) FROM verdicts").fetchone()
        fill(store, tenant, "stays")
        assert not deletion.cut_log(tmp_path / "data" / FILE)
        reader.exec_driver_sql("ROLLBACK")
    assert deletion.cut_log(tmp_path / "data" / FILE)
