"""The sidecar's own count of what reasoning costs: a small SQLite file, so that a day's budget holds over restarts and kills."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from kaizen_security.contract.errors import Misconfigured
from kaizen_security.store.base import StoreUnavailable

KEPT = 400
"""Days that are kept."""


class FileLedger:
    """``runtime.usage.Ledger`` over a file. Several processes may count in one. Raises Misconfigured when it cannot be used."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        try:
            path.touch(mode=0o600)
            self._connection = sqlite3.connect(path, timeout=5.0, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS usage "
                "(day INTEGER, name TEXT, n INTEGER NOT NULL, PRIMARY KEY (day, name)) WITHOUT ROWID"
            )
        except (sqlite3.Error, OSError) as err:
            raise Misconfigured(f"the usage file {path} cannot be used: {err}") from err

    def add(self, day: int, counts: Mapping[str, int]) -> None:
        """Add, on disk when it returns. Raises StoreUnavailable."""
        with self._using() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT INTO usage VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n",
                [(day, name, n) for name, n in counts.items()],
            )
            connection.execute("DELETE FROM usage WHERE day < ?", (day - KEPT,))
            connection.execute("COMMIT")

    def since(self, day: int) -> Mapping[int, Mapping[str, int]]:
        """From ``day`` on. Raises StoreUnavailable."""
        found: dict[int, dict[str, int]] = {}
        with self._using() as connection:
            for one, name, n in connection.execute("SELECT day, name, n FROM usage WHERE day >= ?", (day,)):
                found.setdefault(one, {})[name] = n
        return found

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._connection
            except sqlite3.Error as err:
                with suppress(sqlite3.Error):
                    self._connection.rollback()
                raise StoreUnavailable(f"usage: {err}") from err
