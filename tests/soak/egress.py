"""The egress proxy: tunnels without end leave nothing behind, neither memory nor descriptors, and every one of them is reported."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections import deque
from pathlib import Path

from tests.e2e.egress.peers import ControlPlane, Script, running, until

FULL, SHORT = 1_000_000, 1_500
ROUND = 500
"""Tunnels between two looks at the process."""
AT_ONCE = 16
HELLO = b"\x00 no TLS, 200 bytes " + bytes(180)


class Counted(deque):
    """A control plane's memory for reports: it counts them, and keeps the last few."""

    def __init__(self):
        super().__init__(maxlen=100)
        self.ended = 0

    def __iadd__(self, reports):
        self.ended += sum(report["action"]["metadata"]["phase"] == "end" for report in reports)
        self.extend(reports)
        return self


def answer(connection):
    """Take what comes and answer with a little."""
    if connection.recv(1024):
        connection.sendall(bytes(1200))


def one(proxy, target):
    client, head = proxy.tunnel(target)
    with client:
        assert head.startswith(b"HTTP/1.1 200 "), head
        client.sendall(HELLO)
        client.shutdown(socket.SHUT_WR)
        got = 0
        while part := client.recv(4096):
            got += len(part)
    assert got == 1200, got


def some(proxy, target, n):
    """``n`` tunnels, several at once; the first failure is raised."""
    wrong = []

    def worker():
        try:
            for _ in range(n // AT_ONCE):
                one(proxy, target)
        except Exception as err:  # noqa: BLE001 - raised again below
            wrong.append(err)

    workers = [threading.Thread(target=worker) for _ in range(AT_ONCE)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()
    if wrong:
        raise wrong[0]
    return n // AT_ONCE * AT_ONCE


def look(pid):
    """Bytes of memory of its own, and open descriptors."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(text.partition("Private_Dirty:")[2].split()[0]) * 1024, len(os.listdir(f"/proc/{pid}/fd"))


def soak(amount, directory):
    """See the module."""
    plane = ControlPlane()
    plane.reports = Counted()
    script = Script(answer)
    done, seen = 0, []
    with running(directory, plane, allow=["127.0.0.0/8"]) as proxy:
        target = f"127.0.0.1:{script.port}"
        while done < amount:
            done += some(proxy, target, min(ROUND, amount))
            until(lambda: proxy.health()["connections"] == 1, "all but the asking connection closed")
            seen.append(look(proxy.process.pid))
        until(lambda: plane.reports.ended >= done, "every tunnel's report", seconds=60)
        lost = proxy.health()["reports"]["lost"]
    script.stop()
    plane.stop()
    settled = seen[len(seen) // 3 :]
    grown = settled[-1][0] - settled[0][0]
    assert not lost, lost
    assert settled[-1][1] <= settled[0][1] + 2, json.dumps(settled)
    assert grown < 4 << 20, f"{grown} bytes more after {done} tunnels"
    return {"tunnels": done, "bytes_grown": grown, "bytes": seen[-1][0], "descriptors": seen[-1][1], "lost": lost}
