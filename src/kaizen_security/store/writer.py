"""The one thread that writes, with group commit: what waits is written in one transaction, and nobody is told before it is on disk.

A commit costs a flush of the disk whether it holds one row or a thousand; so while one is being flushed the next group gathers.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

from kaizen_security.store.base import StoreUnavailable

GROUP = 256
"""Calls in one transaction."""
WAITING = 10_000
"""Calls that may wait; more are refused, so that memory is bounded when the disk is slow."""

T = TypeVar("T")


class Transaction(Protocol):
    """What the writer drives; every method runs in its thread."""

    def begin(self) -> None: ...
    def run(self, function: Callable[[], T]) -> T: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    def translate(self, error: Exception) -> Exception: ...
    def close(self) -> None: ...


class Writer:
    """Runs functions in the writing thread, each whole or not at all, and settles their futures after the commit."""

    def __init__(self, open_transaction: Callable[[], Transaction]) -> None:
        self._queue: queue.Queue[tuple[Callable[[], Any], Future[Any]] | None] = queue.Queue(WAITING)
        self._closed = False
        started: Future[Transaction] = Future()
        self._thread = threading.Thread(
            target=self._work, args=(open_transaction, started), name="store-writer", daemon=True
        )
        self._thread.start()
        started.result()

    def submit(self, function: Callable[[], T]) -> Future[T]:
        """A future of ``function``'s result, settled after it was committed. Raises StoreUnavailable when too many wait."""
        future: Future[T] = Future()
        if self._closed:
            raise StoreUnavailable("the store is closed")
        try:
            self._queue.put_nowait((function, future))
        except queue.Full as err:
            raise StoreUnavailable(f"{WAITING} writes are waiting for the disk; try again") from err
        return future

    def close(self) -> None:
        """Write what waits, then end."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            self._thread.join()

    def _work(self, open_transaction: Callable[[], Transaction], started: Future[Transaction]) -> None:
        try:
            transaction = open_transaction()
        except Exception as err:  # noqa: BLE001 - a listed boundary
            # Whoever opens the store is told in their own thread.
            started.set_exception(err)
            return
        started.set_result(transaction)
        last = False
        while not last:
            group, last = self._gather()
            if group:
                self._write(transaction, group)
        transaction.close()

    def _gather(self) -> tuple[list[tuple[Callable[[], Any], Future[Any]]], bool]:
        group = []
        entry = self._queue.get()
        while entry is not None:
            group.append(entry)
            if len(group) >= GROUP:
                return group, False
            try:
                entry = self._queue.get_nowait()
            except queue.Empty:
                return group, False
        return group, True

    def _write(self, transaction: Transaction, group: list[tuple[Callable[[], Any], Future[Any]]]) -> None:
        settled: list[tuple[Future[Any], Any, Exception | None]] = []
        try:
            transaction.begin()
            for function, future in group:
                try:
                    settled.append((future, transaction.run(function), None))
                except _Alone as err:
                    settled.append((future, None, err.cause))
            transaction.commit()
        except Exception as err:  # noqa: BLE001 - a listed boundary
            # The whole group is undone, so each of its callers is told so; the thread lives on for the next group.
            transaction.rollback()
            told = transaction.translate(err)
            settled = [(future, None, told) for _, future in group]
        for future, result, error in settled:
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)


class _Alone(Exception):
    def __init__(self, cause: Exception) -> None:
        super().__init__()
        self.cause = cause


def alone(cause: Exception) -> Exception:
    """An error of one call that was undone by itself: the others of its group are still written."""
    return _Alone(cause)
