"""The reader of a ring, on memory laid out as the kernel lays it out."""

from __future__ import annotations

import mmap
import os
import struct

import pytest

from kaizen_security.collectors.kernel.ring import Ring

SIZE, PAGE = 4096, mmap.PAGESIZE
BUSY, DISCARDED = 1 << 31, 1 << 30


@pytest.fixture
def memory():
    fd = os.memfd_create("ring")
    os.ftruncate(fd, 2 * PAGE + 2 * SIZE)
    yield fd
    os.close(fd)


def write(fd: int, at: int, data: bytes, flags: int = 0) -> int:
    """One record, as the double mapping shows it: it may run over the end."""
    record = struct.pack("=II", len(data) | flags, 0) + data
    os.pwrite(fd, record, 2 * PAGE + at % SIZE)
    end = at + (len(record) + 7) // 8 * 8
    os.pwrite(fd, struct.pack("=Q", end), PAGE)
    return end


def read(ring: Ring) -> list[bytes]:
    return [bytes(view) for view in ring.read()]


def test_records_come_in_order_once_and_free_their_place(memory: int):
    ring = Ring(memory, SIZE)
    end = write(memory, write(memory, 0, b"one"), b"two two")
    assert ring.waiting() == end
    assert read(ring) == [b"one", b"two two"]
    assert read(ring) == []
    assert struct.unpack("=Q", os.pread(memory, 8, 0))[0] == end
    ring.close()


def test_a_record_that_is_still_written_ends_the_look_and_comes_later(memory: int):
    ring = Ring(memory, SIZE)
    second = write(memory, 0, b"one")
    write(memory, second, b"busy", BUSY)
    assert read(ring) == [b"one"]
    write(memory, second, b"done")
    assert read(ring) == [b"done"]
    ring.close()


def test_a_discarded_record_is_passed_over(memory: int):
    ring = Ring(memory, SIZE)
    write(memory, write(memory, 0, b"gone", DISCARDED), b"kept")
    assert read(ring) == [b"kept"]
    ring.close()


def test_a_record_over_the_end_is_one_piece(memory: int):
    ring = Ring(memory, SIZE)
    os.pwrite(memory, struct.pack("=Q", SIZE - 16), 0)
    os.pwrite(memory, struct.pack("=Q", SIZE - 16), PAGE)
    write(memory, SIZE - 16, b"x" * 100)
    assert read(ring) == [b"x" * 100]
    ring.close()


def test_a_look_may_be_bounded(memory: int):
    ring = Ring(memory, SIZE)
    end = 0
    for n in range(10):
        end = write(memory, end, bytes([n]))
    assert [bytes(view)[0] for view in ring.read(most=4)] == [0, 1, 2, 3]
    assert [view[0] for view in read(ring)] == [4, 5, 6, 7, 8, 9]
    ring.close()
