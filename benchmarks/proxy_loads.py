"""What is asked of each proxy. A load takes a subject and the origin's port, and answers with figures by name."""

from __future__ import annotations

import os
import select
import signal
import socket
import statistics
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TypeAlias

from benchmarks.proxy_parts import ANSWER, HELLO, STAY, cpu, memory


@dataclass(slots=True)
class Subject:
    """Something to measure: ``port`` of the proxy, 0 for none; ``pid`` of its process; ``share`` of the load that it gets."""

    name: str
    port: int
    pid: int
    share: float = 1.0
    plane: int = 0
    """Process of the control plane that it reports to."""
    notes: list[str] = field(default_factory=list)


Load: TypeAlias = Callable[[Subject, int], dict[str, float]]


def connect(target: int) -> bytes:
    """The head of a CONNECT."""
    return f"CONNECT 127.0.0.1:{target} HTTP/1.1\r\nHost: 127.0.0.1:{target}\r\n\r\n".encode()


def tunnels(port: int, target: int, n: int, at_once: int) -> float:
    """Open ``n`` tunnels, ``at_once`` at a time, each with a hello and its answer; seconds."""
    said = connect(target)
    poll = select.epoll()
    table: dict[int, tuple[socket.socket, int]] = {}
    """By descriptor: what is still to come of the origin's answer, -1 before the tunnel is open."""

    def begin() -> None:
        sock = socket.create_connection(("127.0.0.1", port or target))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(said if port else HELLO)
        table[sock.fileno()] = (sock, -1 if port else len(ANSWER))
        poll.register(sock.fileno(), select.EPOLLIN)

    begun = time.perf_counter()
    left = n - at_once
    for _ in range(at_once):
        begin()
    while table:
        for fd, _ in poll.poll():
            sock, more = table[fd]
            data = sock.recv(1 << 16)
            if more < 0:
                if b" 200 " not in data[:40]:
                    raise SystemExit(f"the proxy answers {data[:200]!r}")
                sock.sendall(HELLO)
                table[fd] = (sock, len(ANSWER))
                continue
            if not data:
                raise SystemExit("an answer was cut short")
            table[fd] = (sock, more - len(data))
            if more == len(data):
                # Not every proxy says at once that the origin has ended, so nobody waits for that.
                sock.close()
                del table[fd]
                if left:
                    left -= 1
                    begin()
    return time.perf_counter() - begun


def new_tunnels(n: int) -> Load:
    """Tunnels a second, 32 at a time, and CPU of each."""

    def run(subject: Subject, target: int) -> dict[str, float]:
        count = max(64, int(n * subject.share))
        before = cpu(subject.pid)
        took = tunnels(subject.port, target, count, 32)
        if subject.plane:
            time.sleep(0.3)  # what is reported afterwards counts, too
        return {"tunnel_cpu_us": (cpu(subject.pid) - before) / count * 1e6, "tunnels_per_s": count / took}

    return run


def latency(n: int) -> Load:
    """Median time of a tunnel, one at a time."""

    def run(subject: Subject, target: int) -> dict[str, float]:
        count = max(20, int(n * subject.share))
        return {"tunnel_p50_us": statistics.median(tunnels(subject.port, target, 1, 1) for _ in range(count)) * 1e6}

    return run


def requests(port: int, target: int, n: int) -> float:
    """``n`` plain requests, each of another path, on one kept connection; seconds."""
    with socket.create_connection(("127.0.0.1", port or target)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begun = time.perf_counter()
        for number in range(n):
            url = f"http://127.0.0.1:{target}/x/{number}" if port else f"/x/{number}"
            fields = f"Host: 127.0.0.1:{target}\r\nUser-Agent: bench\r\nAccept: */*\r\nX-Request: {number}\r\n"
            sock.sendall(f"GET {url} HTTP/1.1\r\n{fields}\r\n".encode())
            data = sock.recv(4096)
            while b"\r\n\r\n" + b"x" * 100 not in data:
                more = sock.recv(4096)
                if not more:
                    return float("nan")  # tinyproxy keeps no connection
                data += more
        return time.perf_counter() - begun


def keep_alive(n: int) -> Load:
    """Plain requests on one connection."""

    def run(subject: Subject, target: int) -> dict[str, float]:
        count = max(50, int(n * subject.share))
        before = cpu(subject.pid)
        took = requests(subject.port, target, count)
        if subject.plane:
            time.sleep(0.3)
        if took != took:
            return {}
        return {"request_cpu_us": (cpu(subject.pid) - before) / count * 1e6, "request_us": took / count * 1e6}

    return run


def opened(subject: Subject, target: int, first: bytes) -> socket.socket:
    """A tunnel that has said ``first``."""
    sock = socket.create_connection(("127.0.0.1", subject.port or target), timeout=30)
    if subject.port:
        sock.sendall(connect(target))
        if b" 200 " not in sock.recv(4096)[:40]:
            raise SystemExit(f"{subject.name} opens no tunnel")
    sock.sendall(first)
    return sock


def bulk(size: int, at_once: int) -> Load:
    """``size`` bytes to the origin through ``at_once`` tunnels."""
    block = bytes(1 << 18)

    def run(subject: Subject, target: int) -> dict[str, float]:
        total = int(size * max(subject.share, 0.1))
        with ExitStack() as stack:
            left = {}
            poll = select.epoll()
            for _ in range(at_once):
                sock = stack.enter_context(opened(subject, target, STAY % (total // at_once)))
                sock.setblocking(False)
                poll.register(sock.fileno(), select.EPOLLOUT)
                left[sock.fileno()] = (sock, total // at_once)
            before, begun = cpu(subject.pid), time.perf_counter()
            while left:
                for fd, _ in poll.poll():
                    sock, more = left[fd]
                    more -= sock.send(block[:more] if more < len(block) else block)
                    left[fd] = (sock, more)
                    if not more:
                        poll.unregister(fd)
                        sock.settimeout(60)
                        if sock.recv(1) != b".":
                            raise SystemExit(f"{subject.name} lost bytes")
                        del left[fd]
            took, spent = time.perf_counter() - begun, cpu(subject.pid) - before
        name = "bulk" if at_once == 1 else f"bulk_{at_once}"
        found = {f"{name}_gb_per_s": total / took / 1e9}
        if subject.port and spent:
            found[f"{name}_gb_per_cpu_s"] = total / spent / 1e9
        return found

    return run


def idle(n: int) -> Load:
    """Memory of a tunnel that says nothing."""

    def run(subject: Subject, target: int) -> dict[str, float]:
        if not subject.port:
            return {}
        count = max(100, int(n * subject.share))
        before = memory(subject.pid)
        with ExitStack() as stack:
            for _ in range(count):
                stack.enter_context(opened(subject, target, STAY % 1))
            return {"idle_tunnel_kb": (memory(subject.pid) - before) / count / 1024, "idle_tunnels": float(count)}

    return run


HANGS = 5
"""Times that the control plane is stopped: what else the machine does then must not look like it."""


def hung(n: int) -> Load:
    """Median time of a tunnel while the control plane hangs, against before (for ours, which has one): the best of each."""

    def run(subject: Subject, target: int) -> dict[str, float]:
        if not subject.plane:
            return {}
        normal, stopped = [], []
        measured = latency(max(20, n // HANGS))
        for _ in range(HANGS):
            normal.append(measured(subject, target)["tunnel_p50_us"])
            os.kill(subject.plane, signal.SIGSTOP)
            try:
                stopped.append(measured(subject, target)["tunnel_p50_us"])
            finally:
                os.kill(subject.plane, signal.SIGCONT)
        return {"hung_p50_ratio": min(stopped) / min(normal)}

    return run
