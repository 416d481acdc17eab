"""bpf(2) in Python: load the programs that the wheel carries, use their maps, attach them, pin what must outlive us."""

from __future__ import annotations

import ctypes
import gzip
import json
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files

from kaizen_security.collectors.kernel.linux import syscall

_MAP_CREATE, _LOOKUP, _UPDATE, _DELETE, _NEXT_KEY, _PROG_LOAD, _OBJ_PIN = 0, 1, 2, 3, 4, 5, 6
_RUN, _INFO, _RAW_TRACEPOINT, _LINK_CREATE = 10, 15, 17, 28
_TYPE_ARRAY, _TYPE_SYSCALL, _SLEEPABLE = 2, 31, 16
_LOG = 1 << 24

ATTACH = {
    "ingress": 0,
    "egress": 1,
    "sock_create": 2,
    "bind4": 8,
    "bind6": 9,
    "connect4": 10,
    "connect6": 11,
    "sendmsg4": 14,
    "sendmsg6": 15,
    "sock_release": 34,
    "connect_unix": 49,
}
"""Programs of a cgroup and the kernel's number for their place; the others are attached to what they were compiled for."""


def command(number: int, attributes: bytes) -> int:
    """One bpf(2) command. Raises OSError."""
    buffer = ctypes.create_string_buffer(attributes, max(len(attributes), 128))
    return syscall("bpf", number, buffer, len(buffer))


class Map:
    """A map by its descriptor. Keys and values are bytes of the sizes that the map has."""

    def __init__(self, fd: int, *, value: int) -> None:
        self.fd = fd
        self._size = value

    def get(self, key: bytes) -> bytes | None:
        """The value, or None."""
        k, value = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(self._size)
        try:
            command(_LOOKUP, struct.pack("=IIQQQ", self.fd, 0, ctypes.addressof(k), ctypes.addressof(value), 0))
        except FileNotFoundError:
            return None
        return value.raw

    def put(self, key: bytes, value: bytes) -> None:
        """Set one entry, whole. Raises OSError (E2BIG: full)."""
        k, v = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(value, len(value))
        command(_UPDATE, struct.pack("=IIQQQ", self.fd, 0, ctypes.addressof(k), ctypes.addressof(v), 0))

    def remove(self, key: bytes) -> None:
        """Take one entry out, if it is there."""
        k = ctypes.create_string_buffer(key, len(key))
        with suppress(FileNotFoundError):
            command(_DELETE, struct.pack("=IIQQQ", self.fd, 0, ctypes.addressof(k), 0, 0))

    def keys(self, size: int) -> Iterator[bytes]:
        """Every key, ``size`` bytes each; a map that changes meanwhile may repeat or miss some."""
        following = ctypes.create_string_buffer(size)
        key: ctypes.Array[ctypes.c_char] | None = None
        while True:
            at = ctypes.addressof(key) if key is not None else 0
            try:
                command(_NEXT_KEY, struct.pack("=IIQQQ", self.fd, 0, at, ctypes.addressof(following), 0))
            except FileNotFoundError:
                return
            key = ctypes.create_string_buffer(following.raw, size)
            yield following.raw


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """What ``make bpf`` built: the names of maps and programs in order, and the loader's data and instructions."""

    maps: tuple[str, ...]
    programs: tuple[str, ...]
    data: bytes
    instructions: bytes


VARIANTS = ("programs-lsm-unix.gz", "programs-unix.gz", "programs-lsm.gz", "programs.gz")
"""What the wheel carries, in the order in which it is tried: with files refused where BPF LSM is to be had, with unix sockets from
6.7 on. Where both together are refused and unix sockets alone are not, BPF LSM is not to be had."""


def package(name: str = VARIANTS[-1]) -> Package:
    """One variant of the programs. Raises ValueError when it is damaged."""
    content = gzip.decompress((files("kaizen_security.collectors.kernel") / name).read_bytes())
    first, _, rest = content.partition(b"\n")
    head = json.loads(first)
    if len(rest) != head["data"] + head["instructions"]:
        raise ValueError(f"{name} is not whole")
    return Package(
        maps=tuple(head["maps"]),
        programs=tuple(head["programs"]),
        data=rest[: head["data"]],
        instructions=rest[head["data"] :],
    )


def load(built: Package, *, explain: bool = True) -> tuple[dict[str, int], dict[str, int]]:
    """Load maps and programs: their descriptors by name.

    Raises OSError; with ``explain`` it has the kernel's own last words where there are any.
    """
    try:
        return _load(built, None)
    except OSError:
        if not explain:
            raise
        # Once more, and with what the verifier says: its account of programs that it accepts is long, and takes time to write.
        return _load(built, ctypes.create_string_buffer(_LOG))


def _load(built: Package, log: ctypes.Array[ctypes.c_char] | None) -> tuple[dict[str, int], dict[str, int]]:
    holder = _create_array(len(built.data))
    loader = -1
    try:
        Map(holder, value=len(built.data)).put(struct.pack("=I", 0), built.data)
        loader = _load_loader(built.instructions, holder)
        words = struct.pack("=IIQ", 1, len(log), ctypes.addressof(log)) if log is not None else bytes(16)
        context = bytearray(struct.pack("=II", 0, 0) + words)
        context += bytes(16 * len(built.maps) + 4 * len(built.programs))
        struct.pack_into("=I", context, 0, len(context))
        room = (ctypes.c_char * len(context)).from_buffer(context)
        # prog_fd, retval, data sizes and pointers, repeat, duration, ctx_size_in, ctx_size_out, ctx_in, ctx_out, …
        run = ctypes.create_string_buffer(
            struct.pack("=IIIIQQIIIIQQ", loader, 0, 0, 0, 0, 0, 0, 0, len(context), 0, ctypes.addressof(room), 0), 80
        )
        syscall("bpf", _RUN, run, len(run))
        result: int = struct.unpack_from("=i", run.raw, 4)[0]
        if result < 0:
            said = log.value.decode(errors="replace").strip().splitlines() if log is not None else []
            raise OSError(-result, f"the kernel refuses the programs: {said[-1] if said else os.strerror(-result)}")
        maps = {name: struct.unpack_from("=i", context, 24 + 16 * i)[0] for i, name in enumerate(built.maps)}
        start = 24 + 16 * len(built.maps)
        programs = {name: struct.unpack_from("=i", context, start + 4 * i)[0] for i, name in enumerate(built.programs)}
        del room
        return maps, programs
    finally:
        os.close(holder)
        if loader >= 0:
            os.close(loader)


def _create_array(size: int) -> int:
    return command(_MAP_CREATE, struct.pack("=IIII", _TYPE_ARRAY, 4, size, 1))


def _load_loader(instructions: bytes, holder: int) -> int:
    code = ctypes.create_string_buffer(instructions, len(instructions))
    licence = ctypes.create_string_buffer(b"Dual BSD/GPL")
    fds = (ctypes.c_int * 1)(holder)
    attributes = struct.pack(
        "=IIQQIIQII16sII", _TYPE_SYSCALL, len(instructions) // 8, ctypes.addressof(code), ctypes.addressof(licence), 0, 0, 0, 0,
        _SLEEPABLE, b"__loader.prog", 0, 0,
    )  # fmt: skip
    # prog_btf_fd … line_info, attach_btf_id, attach_prog_fd, core_relo_cnt, then fd_array
    attributes += bytes(48) + struct.pack("=Q", ctypes.addressof(fds))
    return command(_PROG_LOAD, attributes)


def attach(name: str, program: int, cgroup: int) -> int:
    """Attach one program: a link's descriptor; it lets go when the last descriptor and pin of it is gone. Raises OSError."""
    if name in ATTACH:
        return command(_LINK_CREATE, struct.pack("=IIII", program, cgroup, ATTACH[name], 0))
    return command(_RAW_TRACEPOINT, struct.pack("=QI", 0, program))


def held(link: int) -> tuple[int, int]:
    """The program of a link, by its number, and where it is attached: for one of a control group 0 when it is so no more."""
    about = ctypes.create_string_buffer(64)
    command(_INFO, struct.pack("=IIQ", link, len(about), ctypes.addressof(about)))
    _, _, program, _, where = struct.unpack_from("=IIIIQ", about)
    return program, where


def pin(fd: int, path: str) -> None:
    """Keep what ``fd`` is at ``path`` of a BPF file system, whoever closes it. Raises OSError."""
    name = ctypes.create_string_buffer(os.fsencode(path))
    command(_OBJ_PIN, struct.pack("=QII", ctypes.addressof(name), fd, 0))


def close(descriptors: Mapping[str, int]) -> None:
    """Close them all."""
    for fd in descriptors.values():
        with suppress(OSError):
            os.close(fd)
