"""What user space and the programs exchange, as ``bpf/shapes.h`` says it; a test compares the two."""

from __future__ import annotations

import struct
from enum import IntEnum, IntFlag

PORTS = 8
"""Ports that one permit may name."""
PROCESSES = 4_194_304
"""The most that a kernel numbers (PID_MAX_LIMIT), and a byte for each in the table of marks."""


class Kind(IntEnum):
    """Kinds of event."""

    CONNECT = 1
    SEND = 2
    QUESTION = 3
    ANSWER = 4
    HELLO = 5
    EXEC = 6
    SOCKET = 7
    UNIX = 8
    FILE_SHUT = 9


METHODS = {1: "open", 2: "execute", 3: "delete", 4: "rename", 5: "write"}
"""What was to be done to a file, of FILE_SHUT."""


class Reason(IntEnum):
    """Why it was let pass or refused; what is ``refused`` did not happen."""

    PASSED = 0
    PASSED_DECLARED = 1
    PASSED_NAMED = 2
    PASSED_OWN = 3
    REFUSED_DENIED = 16
    REFUSED_UNDECLARED = 17
    REFUSED_QUIC = 18
    REFUSED_UNATTENDED = 19
    REFUSED_NAME = 20
    REFUSED_MALFORMED = 21
    REFUSED_PROTOCOL = 22
    REFUSED_FILE = 32
    REFUSED_PROGRAM = 33
    """Said by fanotify, never by the programs."""

    @property
    def refused(self) -> bool:
        """Whether the kernel said no."""
        return self >= Reason.REFUSED_DENIED


class Agent(IntFlag):
    """What holds for an agent."""

    ENFORCE = 1
    CLOSED = 2
    DECLARED = 4
    QUIC_SHUT = 8
    LIVE = 16
    WATCHED = 32
    """Its files are watched: whose a process was is kept when it has ended."""


class Name(IntFlag):
    """What the table says of a name: itself, or names below it; declared, or denied."""

    EXACT = 1
    BELOW = 2
    DENIED = 4
    DENIED_BELOW = 8


COUNTERS = ("hooked", "told", "refused", "lost_ring", "lost_mark", "lost_name", "repeated")
"""Counters in their order: calls hooked, events told, refused; lost by reason; repeated datagrams, which are not told again."""

HEAD = struct.Struct("=QQIIIIIIII16s")
PLACE = struct.Struct("=Q16sHBBI")
EXEC_LENGTHS = struct.Struct("=II")
NAME_LENGTH = struct.Struct("=I")
FILE_MAX, ARGS_MAX, NAME_MAX = 256, 768, 256
AGENT = struct.Struct("=II")
SETTINGS = struct.Struct("=QQQQ")
ADDRESS_KEY = struct.Struct("=III16s")
NAME_KEY = struct.Struct("=QII")
FILE_KEY = struct.Struct("=QII")
PERMIT = struct.Struct("=I8H")
RESOLVED = struct.Struct("=QI8HI64s")
VALUE_SIZES = {
    "ended": 4,
    "agents": AGENT.size,
    "settings": SETTINGS.size,
    "names": PERMIT.size,
    "declared": PERMIT.size,
    "denied": PERMIT.size,
    "resolved": RESOLVED.size,
    "shut": 4,
}


def mapped(family: int, first: int, length: int) -> tuple[int, bytes]:
    """Bits that count of a range, and its first address in 16 bytes, IPv4 as ::ffff:a.b.c.d."""
    if family == 4:
        return 96 + length, (0xFFFF << 32 | first).to_bytes(16, "big")
    return length, first.to_bytes(16, "big")
