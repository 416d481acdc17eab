"""Journal: one process's part of the spool on disk, and how a later process takes it over.

Files, all mode 0600, for one owner (16 hex digits, new for every process):

``OWNER.own``        held under an exclusive lock as long as its process lives (the kernel lets go of it however the process ends):
                     magic ``KZOWNER1``, promised (u64), done (u64)
``OWNER-SEQ.seg``    magic ``KZSPOOL1``, index of its first record (u64), then records: length (u32), CRC-32 (u32) of the payload
                     seeded with the record's index, payload. All little-endian, append only.

A record counts when ``write(2)`` has returned: it then survives the end of the process (kill -9 too), not the end of the machine;
``sync`` is for that. Everything before ``done`` has been delivered.
"""

from __future__ import annotations

import os
import struct
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

from kaizen_security.client.lock import REMOVES_OPEN, locked

MAX_RECORD = 4 << 20
"""Bytes of one record."""

_OWNER = struct.Struct("<8sQQ")
_HEAD = struct.Struct("<8sQ")
_FRAME = struct.Struct("<II")
_FLAGS = os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_CHUNK = 256 << 10


@dataclass(frozen=True, slots=True)
class Mark:
    """A place between two records of one journal: everything before ``index`` is behind it."""

    owner: str
    index: int
    sequence: int
    offset: int


@dataclass(slots=True)
class _Segment:
    sequence: int
    path: str
    first: int
    size: int


def framed_size(record: bytes) -> int:
    """Bytes that a record takes on disk."""
    return _FRAME.size + len(record)


class Journal:
    """See the module. Not safe for threads: ``Spool`` takes care of that; ``read`` may run while another thread is in ``write``.

    ``gaps`` counts records that are missing, by reason, since it was last looked at.
    """

    def __init__(self, directory: str, owner: str, fd: int, *, segment_bytes: int) -> None:
        self.owner = owner
        self.size = 0
        self.gaps: dict[str, int] = {}
        self._directory = directory
        self._fd = fd
        self._segment_bytes = segment_bytes
        self._segments: deque[_Segment] = deque()
        self._write_fd = -1
        self._stored = 0
        self._promised = 0
        self._sequence = 0
        self._mark = Mark(owner, 0, 0, _HEAD.size)
        self._counted = -1
        """The newest segment before which missing records were counted: what is read again is not counted again."""

    # --- opening

    @classmethod
    def create(cls, directory: str, *, segment_bytes: int) -> Journal:
        """A new journal in an existing directory. Raises OSError."""
        for _ in range(16):
            owner = os.urandom(8).hex()
            fd = os.open(os.path.join(directory, owner + ".own"), _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
            # Somebody who looks for leftovers may have been faster, and may even have removed the file again.
            if locked(fd) and os.fstat(fd).st_nlink:
                journal = cls(directory, owner, fd, segment_bytes=segment_bytes)
                try:
                    journal._note()
                except OSError:
                    journal.close()
                    raise
                return journal
            os.close(fd)
        raise OSError("the spool's directory does not keep locks")

    @classmethod
    def adopt(cls, directory: str, owner: str, *, segment_bytes: int) -> Journal | None:
        """The journal that a dead process left; None when its process lives or somebody else has taken it. Raises OSError."""
        fd = os.open(os.path.join(directory, owner + ".own"), _FLAGS | os.O_CREAT, 0o600)
        if not locked(fd) or not os.fstat(fd).st_nlink:
            os.close(fd)
            return None
        journal = cls(directory, owner, fd, segment_bytes=segment_bytes)
        try:
            journal._recover()
        except OSError:
            os.close(fd)
            raise
        return journal

    def _recover(self) -> None:
        head = _pread(self._fd, _OWNER.size, 0)
        done = 0
        if len(head) == _OWNER.size:
            magic, promised, done = _OWNER.unpack(head)
            self._promised, done = (promised, done) if magic == b"KZOWNER1" else (0, 0)
        for sequence, path in _segments_of(self._directory, self.owner):
            fd = os.open(path, _FLAGS)
            try:
                size, head = os.fstat(fd).st_size, _pread(fd, _HEAD.size, 0)
            finally:
                os.close(fd)
            self._sequence = sequence + 1
            if len(head) == _HEAD.size and head[:8] == b"KZSPOOL1":
                self._segments.append(_Segment(sequence, path, _HEAD.unpack(head)[1], size))
                self.size += size
            else:
                os.unlink(path)
        self._stored = sys.maxsize  # not known before the records are read
        if self._segments:
            first = self._segments[0]
            self._mark = Mark(self.owner, first.first, first.sequence, _HEAD.size)
            self._skip(done)
        else:
            self._mark = Mark(self.owner, done, 0, _HEAD.size)

    def _skip(self, done: int) -> None:
        """Go past what the dead process had delivered already."""
        while self._mark.index < done:
            records, mark = self.read(min(1000, done - self._mark.index), MAX_RECORD)
            if not records:
                break
            self._mark = mark
        self.gaps.clear()

    # --- writing

    @property
    def pending(self) -> int:
        """Records that are not done; for an adopted journal 1 while it may hold any."""
        if self._stored == sys.maxsize:
            return 1
        return self._stored - self._mark.index

    def promise(self, more: int) -> None:
        """Note that ``more`` records are about to come: whoever adopts this journal counts those that did not. Raises OSError."""
        if self._promised != self._stored + more:
            self._promised = self._stored + more
            self._note()

    def write(self, records: Sequence[bytes]) -> None:
        """Keep all of ``records``, or none. Raises OSError."""
        frames = bytearray()
        index = self._stored
        for record in records:
            frames += _FRAME.pack(len(record), crc32(record, index & 0xFFFFFFFF))
            frames += record
            index += 1
        segment = self._segment(len(frames))
        try:
            written = os.write(self._write_fd, frames)
            if written != len(frames):
                raise OSError("the disk took only a part of it")
        except OSError:
            self._forget_tail(segment)
            raise
        segment.size += written
        self.size += written
        self._stored = index

    def room(self) -> int:
        """Bytes that the current segment takes before the next one begins."""
        return self._segment_bytes - self._segments[-1].size if self._write_fd >= 0 else self._segment_bytes

    def sync(self) -> None:
        """Wait until the machine has what was written. Raises OSError."""
        if self._write_fd >= 0:
            os.fsync(self._write_fd)

    def _segment(self, more: int) -> _Segment:
        if self._write_fd >= 0:
            segment = self._segments[-1]
            if segment.size + more <= self._segment_bytes or segment.size == _HEAD.size:
                return segment
            os.close(self._write_fd)
            self._write_fd = -1
        path = os.path.join(self._directory, f"{self.owner}-{self._sequence:08d}.seg")
        self._sequence += 1
        fd = os.open(path, _FLAGS | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        head = _HEAD.pack(b"KZSPOOL1", self._stored)
        try:
            if os.write(fd, head) != len(head):
                raise OSError("the disk is full")
        except OSError:
            os.close(fd)
            os.unlink(path)
            raise
        segment = _Segment(self._sequence - 1, path, self._stored, len(head))
        self.size += segment.size
        if not self._segments:
            self._mark = Mark(self.owner, self._stored, segment.sequence, _HEAD.size)
        self._segments.append(segment)
        self._write_fd = fd
        return segment

    def _forget_tail(self, segment: _Segment) -> None:
        """A part of a record is on disk: cut it off, or leave this segment behind."""
        try:
            os.ftruncate(self._write_fd, segment.size)
        except OSError:
            os.close(self._write_fd)
            self._write_fd = -1

    def _note(self) -> None:
        os.lseek(self._fd, 0, os.SEEK_SET)
        os.write(self._fd, _OWNER.pack(b"KZOWNER1", self._promised, self._mark.index))

    # --- reading

    def read(self, n: int, max_bytes: int) -> tuple[list[bytes], Mark]:
        """Up to ``n`` records of together about ``max_bytes`` after what is done, and the mark behind them. Raises OSError."""
        records: list[bytes] = []
        mark = self._mark
        for segment in list(self._segments):
            if segment.sequence < mark.sequence:
                continue
            if segment.sequence > mark.sequence:
                if segment.sequence > self._counted:
                    self._counted = segment.sequence
                    self._missing(segment.first - mark.index, "corrupt")
                mark = Mark(self.owner, max(segment.first, mark.index), segment.sequence, _HEAD.size)
            mark = self._read_segment(segment, mark, records, n, max_bytes)
            if len(records) >= n or sum(map(len, records)) >= max_bytes:
                return records, mark
        if self._stored == sys.maxsize and not records:
            self._ended(mark)
        return records, mark

    def _read_segment(self, segment: _Segment, mark: Mark, records: list[bytes], n: int, max_bytes: int) -> Mark:
        index, offset, end = mark.index, mark.offset, segment.size
        if offset >= end:
            return mark
        taken = sum(map(len, records))
        fd = os.open(segment.path, _FLAGS)
        try:
            while offset < end and len(records) < n and taken < max_bytes:
                data = _pread(fd, min(end - offset, _CHUNK), offset)
                found, used = _frames(data, index, n - len(records))
                if not found:
                    # A frame longer than what was read, or the torn end of a killed process.
                    data = _pread(fd, min(end - offset, MAX_RECORD + _FRAME.size), offset)
                    found, used = _frames(data, index, 1)
                    if not found:
                        break
                records += found
                taken += sum(map(len, found))
                index, offset = index + len(found), offset + used
        finally:
            os.close(fd)
        return Mark(self.owner, index, segment.sequence, offset)

    def _ended(self, mark: Mark) -> None:
        """The last record of a dead process has been read: what it had promised beyond that died with it."""
        last = self._segments[-1] if self._segments else None
        torn = 1 if last is not None and mark.offset < last.size else 0
        self._missing(torn, "torn")
        self._missing(self._promised - mark.index - torn, "killed")
        self._promised, self._stored, self._mark = 0, mark.index, mark
        if last is not None:
            last.size = mark.offset

    def _missing(self, n: int, reason: str) -> None:
        if n > 0:
            self.gaps[reason] = self.gaps.get(reason, 0) + n

    def done(self, mark: Mark) -> None:
        """Everything before ``mark`` is delivered: remember that, and remove the segments behind it. Raises OSError."""
        if mark.index <= self._mark.index:
            return
        self._mark = mark
        self._note()
        while self._segments and self._segments[0].sequence < mark.sequence:
            self._remove(self._segments.popleft())
        if self._write_fd >= 0 and mark.index == self._stored and self._segments[0].size > self._segment_bytes // 2:
            # All is delivered: begin a new segment rather than let delivered records take up space.
            os.close(self._write_fd)
            self._write_fd = -1
            self._remove(self._segments.popleft())

    def _remove(self, segment: _Segment) -> None:
        self.size -= segment.size
        os.unlink(segment.path)

    # --- closing

    def close(self) -> None:
        """Let go: a finished journal removes its files, another one leaves them for the next process. Raises OSError."""
        try:
            if self.pending == 0:
                self._let_go()
        finally:
            self.abandon()

    def _let_go(self) -> None:
        # Windows removes no file that is open. Elsewhere the owner's goes while it is locked, so that nobody takes it over.
        if self._write_fd >= 0:
            os.close(self._write_fd)
            self._write_fd = -1
        while self._segments:
            self._remove(self._segments.popleft())
        if not REMOVES_OPEN:
            os.close(self._fd)
            self._fd = -1
        os.unlink(os.path.join(self._directory, self.owner + ".own"))

    def abandon(self) -> None:
        """Close the files and touch nothing: what a forked child does with its parent's journal."""
        for fd in (self._write_fd, self._fd):
            if fd >= 0:
                os.close(fd)
        self._write_fd = self._fd = -1


def leftovers(directory: str, known: set[str]) -> tuple[list[str], int]:
    """Owners with files in ``directory`` besides ``known``, and the bytes of all segments that are not theirs. Raises OSError."""
    owners: dict[str, None] = {}
    size = 0
    with os.scandir(directory) as entries:
        for entry in entries:
            owner, kind = entry.name[:16], entry.name[16:]
            if len(owner) != 16 or not set(owner) <= set("0123456789abcdef") or owner in known:
                continue
            if kind == ".own" or kind.endswith(".seg"):
                owners[owner] = None
            if kind.endswith(".seg"):
                try:
                    size += entry.stat(follow_symlinks=False).st_size
                except OSError:
                    continue  # its owner has just delivered it
    return sorted(owners), size


def _segments_of(directory: str, owner: str) -> list[tuple[int, str]]:
    found = []
    for name in os.listdir(directory):
        middle = name[17:-4]
        if name.startswith(owner + "-") and name.endswith(".seg") and middle.isascii() and middle.isdigit():
            found.append((int(middle), os.path.join(directory, name)))
    return sorted(found)


def _frames(data: bytes, index: int, n: int) -> tuple[list[bytes], int]:
    """Whole records at the start of ``data``, at most ``n``, and the bytes they take."""
    found: list[bytes] = []
    at = 0
    while len(found) < n and at + _FRAME.size <= len(data):
        length, check = _FRAME.unpack_from(data, at)
        end = at + _FRAME.size + length
        if length > MAX_RECORD or end > len(data):
            break
        record = data[at + _FRAME.size : end]
        if crc32(record, (index + len(found)) & 0xFFFFFFFF) != check:
            break
        found.append(record)
        at = end
    return found, at


def _pread(fd: int, n: int, offset: int) -> bytes:
    os.lseek(fd, offset, os.SEEK_SET)
    parts = []
    while n > 0 and (part := os.read(fd, n)):
        parts.append(part)
        n -= len(part)
    return b"".join(parts)
