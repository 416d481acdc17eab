"""The egress proxy beside a direct connection and beside tinyproxy and squid, where they are installed.

``python -m benchmarks.proxy [--json] [--rounds N] [--scale X]``. Origin, load and each proxy are processes of their own on
loopback; rounds are interleaved and their order is reversed each time; figures are medians. CPU is that of the proxy's process, its
threads and children, divided by what it did. Rates move by ±40 % on shared cores: compare CPU, and ratios within one run.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import select
import shutil
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ANSWER = b"\x16\x03\x03" + bytes(1200)
"""What the origin says to a hello: about the size of a certificate flight's first part."""
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n" + b"x" * 100


def hello() -> bytes:
    """A real ClientHello."""
    context = ssl.create_default_context()
    outgoing = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="bench.internal")
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


HELLO = hello()


# --- the origin, a process of its own ---------------------------------------------------------------------------------------


def origin(port_file: str) -> None:
    """Answers a hello and ends; answers GETs and stays; to ``SINK`` it reads everything and says how much."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
    listener.setblocking(False)
    Path(port_file).write_text(str(listener.getsockname()[1]))
    poll = select.epoll()
    poll.register(listener.fileno(), select.EPOLLIN)
    table: dict[int, socket.socket] = {}
    sinks: set[int] = set()
    buffer = bytearray(1 << 20)
    while True:
        for fd, _ in poll.poll():
            if fd == listener.fileno():
                with suppress(BlockingIOError):
                    while True:
                        connection, _ = listener.accept()
                        connection.setblocking(False)
                        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        table[connection.fileno()] = connection
                        poll.register(connection.fileno(), select.EPOLLIN)
                continue
            connection = table[fd]
            try:
                n = connection.recv_into(buffer)
                if n and buffer[:1] == b"\x16" and fd not in sinks:
                    connection.sendall(ANSWER)
                    n = 0
                elif n and buffer[:3] == b"GET" and fd not in sinks:
                    connection.sendall(PLAIN)
                elif n:
                    sinks.add(fd)
            except OSError:
                n = 0
            if not n:
                sinks.discard(fd)
                connection.close()
                del table[fd]


# --- proxies ----------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Subject:
    """Something to measure: ``port`` of the proxy, 0 for none; ``pid`` of its process."""

    name: str
    port: int
    pid: int


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def wait_for(port: int) -> None:
    end = time.monotonic() + 15
    while time.monotonic() < end:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        select.select([], [], [], 0.05)
    raise SystemExit(f"nothing listens on port {port}")


@contextmanager
def started(name: str, port: int, command: list[str], env: dict[str, str] | None = None) -> Iterator[Subject]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=env)
    try:
        wait_for(port)
        yield Subject(name, port, process.pid)
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        if process.poll() is None:
            process.kill()
            process.wait()


def ours(folder: Path, plane: str, name: str) -> tuple[str, int, list[str], dict[str, str]]:
    port = free_port()
    config = folder / f"{name}.json"
    settings = {
        "allow_loopback": True,
        "api_url": plane,
        "api_key": "kz_bench",
        "data": str(folder / name),
        "port": port,
    }
    config.write_text(json.dumps(settings))
    return (
        name,
        port,
        [sys.executable, "-m", "kaizen_security.cli", "egress", "--config", str(config)],
        dict(os.environ),
    )


def tinyproxy(folder: Path) -> tuple[str, int, list[str], None]:
    port = free_port()
    config = folder / "tinyproxy.conf"
    config.write_text(
        f"Port {port}\nListen 127.0.0.1\nTimeout 600\nMaxClients 2000\nAllow 127.0.0.1\n"
        f'LogLevel Critical\nLogFile "{folder}/tinyproxy.log"\n'
    )
    return "tinyproxy", port, ["tinyproxy", "-d", "-c", str(config)], None


def squid(folder: Path) -> tuple[str, int, list[str], None]:
    port = free_port()
    config = folder / "squid.conf"
    lines = (
        f"http_port 127.0.0.1:{port}",
        "http_access allow all",
        "cache deny all",
        "access_log none",
        "cache_log /dev/null",
        f"pid_filename {folder}/squid.pid",
        f"coredump_dir {folder}",
        "cache_effective_user proxy",
        "pinger_enable off",
        "shutdown_lifetime 0 seconds",
    )
    config.write_text("\n".join(lines) + "\n")
    folder.chmod(0o777)
    return "squid", port, ["squid", "-N", "-f", str(config)], None


# --- load -------------------------------------------------------------------------------------------------------------------


def cpu(pid: int) -> float:
    """Seconds of CPU (in steps of 10 ms) of a process, its threads, also those that have ended, and its children so far."""
    total = 0
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            with suppress(OSError, IndexError):
                words = (directory / "stat").read_text().rpartition(")")[2].split()
                if pid in (int(directory.name), int(words[1])):
                    total += int(words[11]) + int(words[12])
    return total / float(os.sysconf("SC_CLK_TCK"))


def tunnels(port: int, target: int, n: int, at_once: int) -> float:
    """Open ``n`` tunnels, ``at_once`` at a time, each with a hello and its answer; seconds."""
    connect = f"CONNECT 127.0.0.1:{target} HTTP/1.1\r\nHost: 127.0.0.1:{target}\r\n\r\n".encode()
    poll = select.epoll()
    table: dict[int, tuple[socket.socket, bool]] = {}

    def begin() -> None:
        sock = socket.create_connection(("127.0.0.1", port or target))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(connect if port else HELLO)
        table[sock.fileno()] = (sock, not port)
        poll.register(sock.fileno(), select.EPOLLIN)

    begun = time.perf_counter()
    left = n - at_once
    for _ in range(at_once):
        begin()
    while table:
        for fd, _ in poll.poll():
            sock, open_ = table[fd]
            data = sock.recv(1 << 16)
            if data and not open_:
                if b" 200 " not in data[:40]:
                    raise SystemExit(f"the proxy answers {data[:200]!r}")
                sock.sendall(HELLO)
                table[fd] = (sock, True)
            elif not data:
                sock.close()
                del table[fd]
                if left:
                    left -= 1
                    begin()
    return time.perf_counter() - begun


def requests(port: int, target: int, n: int) -> float:
    """``n`` plain requests on one kept connection; seconds."""
    url = f"http://127.0.0.1:{target}/x" if port else "/x"
    request = f"GET {url} HTTP/1.1\r\nHost: 127.0.0.1:{target}\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", port or target)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        begun = time.perf_counter()
        for _ in range(n):
            sock.sendall(request)
            data = sock.recv(4096)
            while b"\r\n\r\n" + b"x" * 100 not in data:
                more = sock.recv(4096)
                if not more:
                    return float("nan")  # tinyproxy keeps no connection
                data += more
        return time.perf_counter() - begun


def pour(port: int, target: int, size: int) -> float:
    """``size`` bytes through one tunnel to the origin; seconds."""
    with socket.create_connection(("127.0.0.1", port or target)) as sock:
        if port:
            sock.sendall(f"CONNECT 127.0.0.1:{target} HTTP/1.1\r\nHost: 127.0.0.1:{target}\r\n\r\n".encode())
            sock.recv(4096)
        block = bytes(1 << 20)
        begun = time.perf_counter()
        for _ in range(size >> 20):
            sock.sendall(block)
        sock.shutdown(socket.SHUT_WR)
        sock.recv(1)
        return time.perf_counter() - begun


Load = Callable[[Subject, int], dict[str, float]]


def new_tunnels(n: int) -> Load:
    def run(subject: Subject, target: int) -> dict[str, float]:
        before = cpu(subject.pid)
        took = tunnels(subject.port, target, n, 32)
        return {"tunnel_cpu_us": (cpu(subject.pid) - before) / n * 1e6, "tunnels_per_s": n / took}

    return run


def latency(n: int) -> Load:
    def run(subject: Subject, target: int) -> dict[str, float]:
        return {"tunnel_p50_us": statistics.median(tunnels(subject.port, target, 1, 1) for _ in range(n)) * 1e6}

    return run


def keep_alive(n: int) -> Load:
    def run(subject: Subject, target: int) -> dict[str, float]:
        before = cpu(subject.pid)
        took = requests(subject.port, target, n)
        return {"request_cpu_us": (cpu(subject.pid) - before) / n * 1e6, "request_us": took / n * 1e6}

    return run


def bulk(size: int) -> Load:
    def run(subject: Subject, target: int) -> dict[str, float]:
        before = cpu(subject.pid)
        took = pour(subject.port, target, size)
        spent = cpu(subject.pid) - before
        result = {"bulk_gb_per_s": size / took / 1e9}
        if subject.port and spent:
            result["bulk_gb_per_cpu_s"] = size / spent / 1e9
        return result

    return run


# --- the run ----------------------------------------------------------------------------------------------------------------


def measure(subjects: list[Subject], target: int, rounds: int, loads: list[Load]) -> dict[str, dict[str, float]]:
    """Medians by subject."""
    seen: dict[str, dict[str, list[float]]] = {subject.name: {} for subject in subjects}
    for number in range(rounds):
        for subject in subjects if number % 2 == 0 else reversed(subjects):
            for load in loads:
                for name, value in load(subject, target).items():
                    seen[subject.name].setdefault(name, []).append(value)
    return {
        name: {key: round(statistics.median(values), 2) for key, values in found.items()}
        for name, found in seen.items()
    }


def plane(port_file: str) -> None:
    """A control plane that takes every report and has a policy of 10,000 domains."""
    domains: list[str] = [f"bad{n}.example" for n in range(10_000)]
    rules = {"domains": domains, "ips": ["203.0.113.0/24"]}
    policy = {"policies": [{"mode": "blocklist", "rules": rules, "name": "bench", "enabled": True}]}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.answer(policy)

        def do_POST(self) -> None:
            reports = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["reports"]
            self.answer({"accepted": len(reports), "duplicates": 0, "rejected": []})

        def answer(self, document: object) -> None:
            data = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *said: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Path(port_file).write_text(str(server.server_address[1]))
    server.serve_forever()


@contextmanager
def helper(folder: Path, name: str) -> Iterator[int]:
    """``origin`` or ``plane`` as a process: its port."""
    file = folder / f"{name}.port"
    with subprocess.Popen([sys.executable, "-m", "benchmarks.proxy", f"--{name}", str(file)]) as process:
        try:
            while not file.is_file() or not file.read_text():
                select.select([], [], [], 0.02)
            yield int(file.read_text())
        finally:
            process.terminate()


def run(*, rounds: int, scale: float) -> dict[str, object]:
    """All subjects that are there, all loads."""
    loads = [
        new_tunnels(int(3000 * scale)),
        latency(int(300 * scale)),
        keep_alive(int(3000 * scale)),
        bulk(int(1024 * scale) << 20),
    ]
    skipped = [name for name in ("tinyproxy", "squid") if shutil.which(name) is None]
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        target = stack.enter_context(helper(folder, "origin"))
        plane_url = f"http://127.0.0.1:{stack.enter_context(helper(folder, 'plane'))}"
        subjects = [Subject("direct", 0, os.getpid()), stack.enter_context(started(*ours(folder, plane_url, "kaizen")))]
        if "tinyproxy" not in skipped:
            subjects.append(stack.enter_context(started(*tinyproxy(folder))))
        if "squid" not in skipped:
            subjects.append(stack.enter_context(started(*squid(folder))))
        for subject in subjects:
            new_tunnels(200)(subject, target)
        results = measure(subjects, target, rounds, loads)
    for key in ("tunnel_cpu_us", "request_cpu_us"):
        results["direct"].pop(key, None)
    return {
        "results": results,
        "skipped": dict.fromkeys(skipped, "not installed (apt-get install it)"),
        "rounds": rounds,
        "machine": {"cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="1: about 10 s a round")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--origin", help=argparse.SUPPRESS)
    parser.add_argument("--plane", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.origin:
        origin(args.origin)
    if args.plane:
        plane(args.plane)
    found = run(rounds=args.rounds, scale=args.scale)
    if args.json:
        print(json.dumps(found, indent=1))
        return
    results: dict[str, dict[str, float]] = found["results"]  # type: ignore[assignment]
    rows = [
        "tunnel_cpu_us",
        "tunnels_per_s",
        "tunnel_p50_us",
        "request_cpu_us",
        "request_us",
        "bulk_gb_per_s",
        "bulk_gb_per_cpu_s",
    ]
    print(f"{'':20}" + "".join(f"{name:>12}" for name in results))
    for row in rows:
        print(f"{row:20}" + "".join(f"{values.get(row, float('nan')):>12.2f}" for values in results.values()))
    print(f"skipped: {found['skipped'] or 'none'}; {found['machine']}")


if __name__ == "__main__":
    main()
