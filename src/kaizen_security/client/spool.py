"""Spool: what has to be delivered, kept on disk until it is; bounded, crash-safe, shared by many processes (ADR 0003).

Every process writes a journal of its own (``client.journal``) in the directory and takes over those of dead processes. When the
disk takes nothing (full, read-only, no directory) records are kept in memory, bounded too, and moved to disk as soon as it does.
When the spool is full, what is new is refused and counted; what was accepted is never pushed out, so that a flood cannot wash away
evidence. A tenth of the space is kept for urgent records (blocks and flags).
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic

from kaizen_security.client import forks
from kaizen_security.client.journal import MAX_RECORD, Journal, Mark, framed_size, leftovers

MAX_BYTES = 64 << 20
"""Bytes on disk, of all processes that share the directory, unless the caller says otherwise."""
MAX_MEMORY = 8 << 20
"""Bytes in memory while the disk takes nothing."""
RETRY_DISK = 1.0
"""Seconds before a disk that refused is tried again."""
LOOK_AROUND = 10.0
"""Seconds between looks for what dead processes left."""
MAX_ADOPTED = 16

FULL, MEMORY_FULL, TOO_LARGE, KILLED, TORN, CORRUPT, REMOVED, EXIT = (
    "spool full",
    "no disk, memory full",
    "record too large",
    "killed",
    "torn",
    "corrupt",
    "files removed",
    "exit without disk",
)
"""Why a record is lost: the keys of ``Spool.lost``. The first three were refused (``append`` said so)."""


@dataclass(frozen=True, slots=True)
class Batch:
    """``records`` in order, and the ``position`` behind them for ``Spool.done``."""

    records: tuple[bytes, ...]
    position: Mark


_MEMORY = "memory"


class Spool:
    """See the module. Safe for threads; one thread at a time reads. ``directory`` None means memory only.

    ``max_bytes``  on disk. Exact for this process's own records; those of other processes are looked up when it begins and when it
                   is full, so processes that fill it at the same time may together exceed it.
    ``lost``       records lost, by reason, since this process opened the spool; what dead processes lost counts when it is found
    ``problem``    why the disk is not used just now, empty when it is
    """

    def __init__(
        self, directory: str | os.PathLike[str] | None, *, max_bytes: int = MAX_BYTES, max_memory: int = MAX_MEMORY
    ) -> None:
        self.lost: dict[str, int] = {}
        self.problem = ""
        self._directory = None if directory is None else os.fspath(directory)
        self._max_bytes = max_bytes
        self._max_memory = max_memory
        self._segment_bytes = max(4096, min(1 << 20, max_bytes // 8))
        self._closed = False
        self._reset()
        _LIVE.add(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._own: Journal | None = None
        self._adopted: list[Journal] = []
        self._others = 0
        self._others_after = 0.0
        self._memory: deque[bytes] = deque()
        self._memory_size = 0
        self._memory_first = 0
        self._disk_after = 0.0 if self._directory is not None else float("inf")
        self._look_after = 0.0

    # --- keeping

    def append(self, record: bytes, *, urgent: bool = False) -> bool:
        """Keep one record, at the cost of a ``write(2)``. False: refused and counted.

        True: it is with the operating system (in memory when ``problem`` says so), and survives the end of this process, not of the
        machine.
        """
        return self.extend((record,), urgent=urgent) == 1

    def extend(self, records: Iterable[bytes], *, urgent: bool = False) -> int:
        """Keep several with one ``write(2)`` a segment; how many were kept, which are the first ones unless one was too large."""
        limit = self._max_bytes if urgent else self._max_bytes - self._max_bytes // 10
        with self._lock:
            if self._memory and monotonic() >= self._disk_after:
                self._to_disk()
            kept = 0
            chunk: list[bytes] = []
            size, room = 0, self._room()
            for record in records:
                if len(record) > MAX_RECORD:
                    self._lose(TOO_LARGE)
                    continue
                framed = framed_size(record)
                if chunk and size + framed > room:
                    kept += self._keep(chunk, size, limit)
                    chunk, size, room = [], 0, self._room()
                chunk.append(record)
                size += framed
            return kept + (self._keep(chunk, size, limit) if chunk else 0)

    def promise(self, more: int) -> None:
        """``more`` records wait to be appended: if the process dies before they are, whoever takes over can count them."""
        with self._lock:
            own = self._journal()
            if own is not None:
                try:
                    own.promise(more)
                except OSError as err:
                    self._no_disk(err)

    def _room(self) -> int:
        return self._segment_bytes if self._own is None else max(self._own.room(), 1)

    def _keep(self, chunk: list[bytes], size: int, limit: int) -> int:
        if self._memory:
            return self._remember(chunk)  # behind what waits there already
        if self._used() + size > limit:
            self._count_others()
            while chunk and self._used() + size > limit:
                size -= framed_size(chunk.pop())
                self._lose(FULL)
            if not chunk:
                return 0
        own = self._journal()
        if own is None:
            return self._remember(chunk)
        try:
            own.write(chunk)
        except OSError as err:
            self._no_disk(err)
            return self._remember(chunk)
        return len(chunk)

    def _used(self) -> int:
        return self._others + (self._own.size if self._own else 0) + sum(journal.size for journal in self._adopted)

    def _count_others(self) -> None:
        """What other processes have on disk; looked up at most once a second."""
        now = monotonic()
        if self._directory is None or now < self._others_after:
            return
        self._others_after = now + RETRY_DISK
        known = {journal.owner for journal in (*self._adopted, *((self._own,) if self._own else ()))}
        try:
            self._others = leftovers(self._directory, known)[1]
        except OSError as err:
            self._no_disk(err)

    def _journal(self) -> Journal | None:
        """This process's own journal; None when the disk does not take one now."""
        if self._own is None and self._directory is not None and not self._closed and monotonic() >= self._disk_after:
            try:
                _private_directory(self._directory)
                self._own = Journal.create(self._directory, segment_bytes=self._segment_bytes)
                self.problem = ""
            except OSError as err:
                self._no_disk(err)
                return None
            self._count_others()
        return self._own if monotonic() >= self._disk_after else None

    def _no_disk(self, err: OSError) -> None:
        self.problem = err.strerror or str(err)
        self._disk_after = monotonic() + RETRY_DISK

    def _remember(self, chunk: list[bytes]) -> int:
        if self._closed:
            self._lose(EXIT, len(chunk))
            return 0
        kept = 0
        for record in chunk:
            if self._memory_size + len(record) > self._max_memory:
                self._lose(MEMORY_FULL)
                continue
            self._memory.append(record)
            self._memory_size += len(record)
            kept += 1
        return kept

    def _to_disk(self) -> None:
        own = self._journal()
        while own is not None and self._memory:
            chunk: list[bytes] = []
            size = 0
            for record in self._memory:
                if chunk and size + framed_size(record) > max(own.room(), 1):
                    break
                chunk.append(record)
                size += framed_size(record)
            if self._used() + size > self._max_bytes:
                return
            try:
                own.write(chunk)
            except OSError as err:
                self._no_disk(err)
                return
            self.problem = ""
            for record in chunk:
                self._forget(record)

    def _forget(self, record: bytes) -> None:
        self._memory.popleft()
        self._memory_size -= len(record)
        self._memory_first += 1

    def _lose(self, reason: str, n: int = 1) -> None:
        self.lost[reason] = self.lost.get(reason, 0) + n

    # --- delivering

    @property
    def pending(self) -> int:
        """Records that wait for delivery in this process; leftovers of dead processes count one each until they are read."""
        with self._lock:
            return self._pending()

    def _pending(self) -> int:
        own = self._own.pending if self._own else 0
        return own + len(self._memory) + sum(journal.pending for journal in self._adopted)

    def read(self, n: int = 50, max_bytes: int = 1 << 20) -> Batch:
        """The oldest records that are not done: leftovers of dead processes first, then our own, then those in memory.

        At most ``n`` and about ``max_bytes``, at least one if there is any. Reading again gives the same until ``done``.
        """
        with self._reading:
            self._look_around()
            for journal in list(self._adopted):
                batch = self._read_from(journal, n, max_bytes)
                if batch is not None:
                    return batch
                if journal in self._adopted:
                    self._retire(journal)
            if self._own is not None:
                batch = self._read_from(self._own, n, max_bytes)
                if batch is not None:
                    return batch
            with self._lock:
                records: list[bytes] = []
                size = 0
                for record in self._memory:
                    if len(records) >= n or size >= max_bytes:
                        break
                    records.append(record)
                    size += len(record)
                return Batch(tuple(records), Mark(_MEMORY, self._memory_first + len(records), 0, 0))

    def _read_from(self, journal: Journal, n: int, max_bytes: int) -> Batch | None:
        try:
            records, mark = journal.read(n, max_bytes)
        except FileNotFoundError:
            self._give_up(journal)
            return None
        except OSError as err:
            self.problem = err.strerror or str(err)
            return None
        for reason, missing in journal.gaps.items():
            self._lose(reason, missing)
        journal.gaps.clear()
        return Batch(tuple(records), mark) if records else None

    def _give_up(self, journal: Journal) -> None:
        """Somebody has removed the files: what was in them is lost, what comes goes into a new journal."""
        self._lose(REMOVED, journal.pending)
        with self._lock:
            if journal is self._own:
                self._own = None
            else:
                self._adopted.remove(journal)
            journal.abandon()

    def done(self, position: Mark) -> None:
        """Everything up to ``position`` is delivered and need not be kept."""
        with self._reading, self._lock:
            if position.owner == _MEMORY:
                while self._memory and self._memory_first < position.index:
                    self._forget(self._memory[0])
                return
            for journal in (*self._adopted, *((self._own,) if self._own else ())):
                if journal.owner == position.owner:
                    try:
                        journal.done(position)
                    except OSError as err:
                        # It will be delivered again after a restart, which is harmless: reports are idempotent by id.
                        self.problem = err.strerror or str(err)

    def _retire(self, journal: Journal) -> None:
        """An adopted journal with nothing more to read: remove its files."""
        if journal.pending:
            return
        with self._lock:
            self._adopted.remove(journal)
        try:
            journal.close()
        except OSError as err:
            self.problem = err.strerror or str(err)

    def _look_around(self) -> None:
        """Take over what dead processes left."""
        now = monotonic()
        if self._directory is None or now < self._look_after or len(self._adopted) >= MAX_ADOPTED:
            return
        self._look_after = now + LOOK_AROUND
        known = {journal.owner for journal in (*self._adopted, *((self._own,) if self._own else ()))}
        try:
            owners, _ = leftovers(self._directory, known)
        except OSError:
            return  # no directory yet, so nobody left anything
        for owner in owners[: 8 * MAX_ADOPTED]:
            if len(self._adopted) >= MAX_ADOPTED:
                break
            try:
                journal = Journal.adopt(self._directory, owner, segment_bytes=self._segment_bytes)
            except OSError as err:
                self.problem = err.strerror or str(err)
                continue
            if journal is not None:
                with self._lock:
                    self._adopted.append(journal)

    # --- ending

    def sync(self) -> None:
        """Wait until the machine, not only the operating system, has what this process appended. Raises OSError."""
        with self._lock:
            if self._own is not None:
                self._own.sync()

    def close(self) -> None:
        """Let go. What is not delivered stays on disk for the next process; what is only in memory is tried on disk once more, else
        lost and counted."""
        with self._reading, self._lock:
            self._disk_after = 0.0 if self._directory is not None else float("inf")
            if self._memory:
                self._to_disk()
            if self._memory:
                self._lose(EXIT, len(self._memory))
                self._memory.clear()
                self._memory_size = 0
            self._closed = True
            journals = (*self._adopted, *((self._own,) if self._own else ()))
            self._adopted, self._own = [], None
            for journal in journals:
                try:
                    journal.close()
                except OSError as err:
                    self.problem = err.strerror or str(err)

    def _after_fork(self) -> None:
        """In the child: everything so far is the parent's, and the parent still has it."""
        for journal in (*self._adopted, *((self._own,) if self._own else ())):
            journal.abandon()
        self.lost = {}
        self._reset()


def _private_directory(directory: str) -> None:
    """Make it with mode 0700, or see that it is ours and nobody else's. Raises OSError."""
    os.makedirs(directory, mode=0o700, exist_ok=True)
    if not hasattr(os, "geteuid"):
        return
    found = os.lstat(directory)
    if found.st_uid != os.geteuid():
        raise PermissionError(f"{directory} belongs to another user")
    if found.st_mode & 0o077:
        os.chmod(directory, 0o700)


_LIVE = forks.alive(Spool)
