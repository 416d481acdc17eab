"""A kernel rung that reads for long: its memory stays flat, whatever the agent connects to, asks for, executes and opens.

Hosts, addresses, programs and their processes are new all the time, so everything that the reader keeps is driven to its bound. The
first third fills what is bounded; after that the resident memory may not grow by more than a tenth and 8 MB.
"""

from __future__ import annotations

import random
from pathlib import Path

from kaizen_security.collectors.kernel.actions import Translator
from kaizen_security.collectors.kernel.decode import decode
from kaizen_security.collectors.kernel.files import FileEvent
from kaizen_security.collectors.kernel.once import WINDOW
from kaizen_security.collectors.kernel.reporting import Reporting
from kaizen_security.collectors.kernel.shapes import (
    EXEC_LENGTHS,
    HEAD,
    NAME_LENGTH,
    NAME_MAX,
    PLACE,
    Kind,
    Reason,
)

FULL = 3_000_000
SHORT = 30_000
GROWTH, SLACK = 1.10, 8 << 20


def resident():
    """Bytes of memory that this process has."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) << 10


def record(chance, n):
    """The bytes of one event, as the ring has them."""
    kind = chance.choice((Kind.CONNECT, Kind.SEND, Kind.QUESTION, Kind.HELLO, Kind.EXEC, Kind.UNIX))
    reason = chance.choice((Reason.PASSED, Reason.PASSED_DECLARED, Reason.REFUSED_UNDECLARED))
    pid = chance.randrange(1, 1 << 22)
    head = HEAD.pack(n * 1000, n % 5000, kind, 0, pid, pid, 1, 1000, reason, 0, f"task-{n % 9000}"[:15].encode())
    if kind is Kind.EXEC:
        file, args = f"/usr/bin/tool-{n}".encode(), f"tool\0--n={n}\0".encode()
        return head + EXEC_LENGTHS.pack(len(file), len(args)) + file + args
    address = b"\0" * 10 + b"\xff\xff" + chance.randbytes(4)
    place = PLACE.pack(chance.getrandbits(48), address, chance.choice((443, 8080)), 2, 6, 0)
    if kind in (Kind.CONNECT, Kind.SEND):
        return head + place
    name = (f"/run/service-{n}" if kind is Kind.UNIX else f"host-{n}.example").encode()
    return head + place + NAME_LENGTH.pack(len(name)) + name.ljust(NAME_MAX, b"\0")


def soak(amount, directory):
    """``amount`` events, each by the way that a run's takes: told or counted."""
    chance = random.Random(11)
    translator = Translator(agent="a", run_id="r", ids=lambda: f"{chance.getrandbits(128):032x}", name_of=lambda at: "")
    told, samples = [0], []

    def tell(action, verdict):
        told[0] += 1

    reporting = Reporting(translator, decode, tell)
    for n in range(amount):
        at = n / 10_000
        if n % 7 == 0:
            reporting.file(FileEvent(pid=n, method="open", path=f"{directory}/file-{n}"), 0.0, at)
        else:
            reporting.take(memoryview(record(chance, n)), at)
        if n % (amount // 12) == amount // 12 - 1:
            samples.append(resident())
    filled, most = max(samples[:4]), max(samples[4:])
    assert most <= filled * GROWTH + SLACK, f"memory grew: {[one >> 20 for one in samples]} MB"
    counts = {name: number for name, number in reporting.counts.items() if name not in translator.counts}
    assert told[0] + sum(counts.values()) == amount
    return {
        "events": amount,
        "seconds of a run at 10,000 a second": amount // 10_000,
        "window, s": WINDOW,
        "megabytes": [round(one / (1 << 20), 1) for one in samples],
        "told": told[0],
        "counted": counts,
    }
