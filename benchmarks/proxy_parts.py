"""The processes that ``benchmarks.proxy`` measures against: an origin, a control plane, and the clock of a process's CPU."""

from __future__ import annotations

import json
import resource
import select
import socket
import ssl
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from kaizen_security.contract.bundle import Bundle, key_hash, seal, signing_key
from kaizen_security.contract.policy import Policy

ANSWER = b"\x16\x03\x03" + bytes(1200)
"""What the origin says to a hello: about the size of a certificate flight's first part."""
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n" + b"x" * 100
STAY = b"stay %d\n"
"""A tunnel that says this is kept open; after so many bytes the origin says ``.``."""


def hello() -> bytes:
    """A real ClientHello."""
    context = ssl.create_default_context()
    outgoing = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="bench.internal")
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


HELLO = hello()


def all_descriptors() -> None:
    """As many as this user may have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Origin:
    """Answers a hello and ends; answers GETs and stays; of what begins otherwise (``STAY``) it reads all."""

    def __init__(self) -> None:
        self.buffer = bytearray(1 << 20)
        self.sinks: dict[int, int] = {}
        """By descriptor: bytes that are still to come."""

    def heard(self, fd: int, connection: socket.socket) -> bool:
        """Read and answer once; False: that was all."""
        buffer = self.buffer
        n = connection.recv_into(buffer)
        if not n:
            return False
        if fd not in self.sinks:
            if buffer[:1] == b"\x16":
                connection.sendall(ANSWER)
                return False
            if buffer[:3] == b"GET":
                connection.sendall(PLAIN)
                return True
            first = bytes(buffer[:n])
            if not first.startswith(b"stay "):
                return True  # the rest of a request that came in two pieces
            self.sinks[fd] = int(first.split()[1]) + first.index(b"\n") + 1
        self.sinks[fd] -= n
        if not self.sinks[fd]:
            connection.sendall(b".")
        return True


def origin(port_file: str) -> None:
    """Serve for ever."""
    all_descriptors()
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    listener.setblocking(False)
    Path(port_file).write_text(str(listener.getsockname()[1]))
    poll = select.epoll()
    poll.register(listener.fileno(), select.EPOLLIN)
    table: dict[int, socket.socket] = {}
    served = Origin()
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
            more = False
            with suppress(OSError):
                more = served.heard(fd, table[fd])
            if not more:
                served.sinks.pop(fd, None)
                table.pop(fd).close()


def plane(port_file: str) -> None:
    """A control plane that seals a bundle of 10,000 domains and takes every report."""
    domains: list[object] = [f"bad{n}.example" for n in range(10_000)]
    policy = Policy("blocklist", {"domains": domains, "ips": ["203.0.113.0/24"]}, "bench")  # type: ignore[dict-item]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked = parse_qs(urlsplit(self.path).query)
            key = (self.headers["Authorization"] or "").removeprefix("Bearer ")
            if self.headers["If-None-Match"]:
                time.sleep(float(asked.get("wait", ["1"])[0]))
                self.answer(b"", 304)
                return
            bundle = Bundle(agent=asked["agent"][0], version=1, policies=(policy,))
            self.answer(seal(bundle, signing_key(key_hash(key))), 200)

        def do_POST(self) -> None:
            reports = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["reports"]
            self.answer(json.dumps({"accepted": len(reports), "duplicates": 0, "rejected": []}).encode(), 200)

        def answer(self, data: bytes, status: int) -> None:
            self.send_response(status)
            self.send_header("ETag", '"one"')
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *said: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    Path(port_file).write_text(str(server.server_address[1]))
    server.serve_forever()


def family(pid: int) -> list[int]:
    """The process and its descendants."""
    found = [pid]
    for parent in found:
        with suppress(OSError):
            for children in Path(f"/proc/{parent}/task").glob("*/children"):
                found += map(int, children.read_text().split())
    return found


def cpu(pid: int) -> float:
    """Seconds of CPU of a process with its threads, also those that have ended, and its living descendants."""
    total = 0.0
    for one in family(pid):
        with suppress(OSError):
            total += time.clock_gettime(~one << 3 | 2)  # MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED)
    return total


def memory(pid: int) -> int:
    """Bytes that only these processes have (what is shared counts in proportion)."""
    total = 0
    for one in family(pid):
        with suppress(OSError):
            text = Path(f"/proc/{one}/smaps_rollup").read_text()
            total += int(text.partition("Pss:")[2].split()[0]) * 1024
    return total
