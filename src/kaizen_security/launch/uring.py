"""connect(2) by way of io_uring(7): how a canary leaves without the call that others watch."""

from __future__ import annotations

import ctypes
import mmap
import os
import socket
import struct

from kaizen_security.collectors.kernel.linux import syscall

_OP_CONNECT = 16
_GETEVENTS, _WAKE = 1, 2
_SQPOLL = 2
_SQ_RING, _SQES = 0, 0x10000000


def connect(sock: socket.socket, host: str, port: int, *, polled: bool = False) -> None:
    """Connect an IPv4 TCP socket. ``polled``: by the kernel's own thread, not in our call (IORING_SETUP_SQPOLL).

    Raises OSError, with the kernel's own code when it refuses.
    """
    parameters = ctypes.create_string_buffer(struct.pack("=III", 0, 0, _SQPOLL if polled else 0), 120)
    ring = syscall("io_uring_setup", 4, parameters)
    try:
        entries, _ = struct.unpack_from("=II", parameters.raw)
        sq = struct.unpack_from("=10I", parameters.raw, 40)  # head, tail, mask, entries, flags, dropped, array, …
        cq = struct.unpack_from("=10I", parameters.raw, 80)  # head, tail, mask, entries, overflow, cqes, …
        size = max(sq[6] + entries * 4, cq[5] + 2 * entries * 16)
        rings = mmap.mmap(ring, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=_SQ_RING)
        sqes = mmap.mmap(ring, entries * 64, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE, offset=_SQES)
        address = ctypes.create_string_buffer(
            struct.pack("=HH4s8x", socket.AF_INET, socket.htons(port), socket.inet_aton(host)), 16
        )
        struct.pack_into(
            "=BBHiQQIIQ", sqes, 0, _OP_CONNECT, 0, 0, sock.fileno(), 16, ctypes.addressof(address), 0, 0, 7
        )
        struct.pack_into("=I", rings, sq[6], 0)
        struct.pack_into("=I", rings, sq[1], 1)
        syscall("io_uring_enter", ring, 1, 1, _GETEVENTS | (_WAKE if polled else 0), None, 0)
        result: int = struct.unpack_from("=i", rings, cq[5] + 8)[0]
        if result < 0:
            raise OSError(-result, os.strerror(-result))
    finally:
        os.close(ring)
