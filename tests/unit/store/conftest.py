"""A real database in a directory of the test's own."""

from __future__ import annotations

import pytest

from kaizen_security.store.sqlite import SqliteStore


@pytest.fixture
def store(tmp_path):
    opened = SqliteStore(tmp_path / "data")
    yield opened
    opened.close()
