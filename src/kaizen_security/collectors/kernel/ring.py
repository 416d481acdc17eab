"""The reader of a BPF ring buffer (kernel: Documentation/bpf/ringbuf.rst): records in order, without a system call for each.

A record that the kernel still writes ends a look; what did not fit was never written, and the programs counted it.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator

_BUSY, _DISCARDED = 1 << 31, 1 << 30
_PAGE = mmap.PAGESIZE
_POSITION = struct.Struct("=Q")
_RECORD = struct.Struct("=II")


class Ring:
    """``size`` in bytes, as the map was made."""

    def __init__(self, fd: int, size: int) -> None:
        self._size = size
        self._mask = size - 1
        self._ours = mmap.mmap(fd, _PAGE, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        # The kernel maps the data twice in a row, so a record that wraps around is still one piece.
        self._theirs = mmap.mmap(fd, _PAGE + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=_PAGE)
        self._view = memoryview(self._theirs)[_PAGE:]

    def waiting(self) -> int:
        """Bytes that are written and not read."""
        written: int = _POSITION.unpack_from(self._theirs, 0)[0]
        return written - self.taken

    @property
    def taken(self) -> int:
        """Bytes that were read since the ring was made."""
        return int(_POSITION.unpack_from(self._ours, 0)[0])

    def read(self, most: int = 1 << 20) -> Iterator[memoryview]:
        """Up to ``most`` records that are there now. A view is good until the next one is asked for."""
        began = at = int(_POSITION.unpack_from(self._ours, 0)[0])
        written: int = _POSITION.unpack_from(self._theirs, 0)[0]
        done = 0
        view, mask, record = self._view, self._mask, _RECORD.unpack_from
        try:
            while at < written and done < most:
                place = at & mask
                length, _ = record(view, place)
                if length & _BUSY:
                    break
                size = length & ~_DISCARDED
                if not length & _DISCARDED:
                    yield view[place + 8 : place + 8 + size]
                    done += 1
                at += (size + 8 + 7) & ~7
                if done & 63 == 0:
                    _POSITION.pack_into(self._ours, 0, at)
        finally:
            if (
                at != began
            ):  # the programs read it at each event: what is written again is in no cache of theirs any more
                _POSITION.pack_into(self._ours, 0, at)

    def close(self) -> None:
        """Give the memory back."""
        self._view.release()
        self._ours.close()
        self._theirs.close()
