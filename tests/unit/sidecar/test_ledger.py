"""The sidecar's count of what reasoning costs: on disk when it returns, for several processes, bounded."""

from __future__ import annotations

import stat

import pytest

from kaizen_security.contract.errors import Misconfigured
from kaizen_security.sidecar.ledger import KEPT, FileLedger
from kaizen_security.store.base import StoreUnavailable


def test_what_was_counted_is_there_for_the_next_process(tmp_path):
    path = tmp_path / "usage.db"
    first, second = FileLedger(path), FileLedger(path)
    first.add(10, {"calls": 1, "input_tokens": 100})
    second.add(10, {"calls": 2})
    second.add(11, {"calls": 5})
    assert first.since(10) == {10: {"calls": 3, "input_tokens": 100}, 11: {"calls": 5}}
    assert first.since(11) == {11: {"calls": 5}}
    first.close()
    second.close()
    again = FileLedger(path)
    assert again.since(0)[10]["calls"] == 3
    again.close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_old_days_go(tmp_path):
    ledger = FileLedger(tmp_path / "usage.db")
    ledger.add(1, {"calls": 1})
    ledger.add(1 + KEPT + 1, {"calls": 1})
    assert set(ledger.since(0)) == {1 + KEPT + 1}
    ledger.close()


def test_a_file_that_is_none_is_refused(tmp_path):
    (tmp_path / "usage.db").write_text("this is no database, but it is longer than a header of one would be" * 20)
    with pytest.raises(Misconfigured, match="cannot be used"):
        FileLedger(tmp_path / "usage.db")
    with pytest.raises(Misconfigured, match="cannot be used"):
        FileLedger(tmp_path / "none" / "usage.db")


def test_once_closed_it_says_so(tmp_path):
    ledger = FileLedger(tmp_path / "usage.db")
    ledger.close()
    with pytest.raises(StoreUnavailable):
        ledger.add(1, {"calls": 1})
    with pytest.raises(StoreUnavailable):
        ledger.since(1)
