"""What opening TLS costs the egress proxy, beside the same tunnels left closed, and beside mitmproxy, which looks at nothing.

``python -m benchmarks.inspection [--keep]``. Origin (in TLS), control plane, load and each proxy are processes on loopback;
rounds are interleaved and their order is reversed each time; figures are medians. CPU is the proxy's own.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import multiprocessing.connection
import os
import socket
import ssl
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import trustme

from benchmarks import kept
from benchmarks.proxy import helper, started
from benchmarks.proxy_parts import cpu
from benchmarks.proxy_peers import Start, found, free_port, kaizen
from kaizen_security.interception import authority, clock

HOST = "api.internal"
PAGE = "docs/reference/proxy-figures.md"
ROWS = {
    "tunnel_cpu_us": "new tunnel with one request, CPU µs",
    "request_cpu_us": "request of 1 KB on a kept connection, CPU µs",
    "request_us": "the same, by the clock, µs",
    "json_mb_per_cpu_s": "JSON going up, MB for each second of CPU",
    "binary_mb_per_cpu_s": "random bytes going up, MB for each second of CPU",
}
ORDER = ("closed", "opened", "mitmproxy")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        left = int(self.headers["Content-Length"])
        while left:
            left -= len(self.rfile.read(min(left, 1 << 16)))
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def log_message(self, *said: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass


def serve(pem: str, told: multiprocessing.connection.Connection) -> None:
    """The origin, for ever."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server = _Server(("127.0.0.1", 0), _Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    told.send(server.server_address[1])
    server.serve_forever()


@contextmanager
def origin(pem: Path) -> Iterator[int]:
    """It as a process: its port."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(str(pem), theirs), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


def opened_tunnel(port: int) -> ssl.SSLSocket:
    """A client in TLS behind the proxy at ``port``; whom it trusts is not what is measured."""
    raw = socket.create_connection(("127.0.0.1", port), timeout=60)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    raw.sendall(f"CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n\r\n".encode())
    if b" 200 " not in raw.recv(4096)[:40]:
        raise SystemExit("no tunnel")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(raw, server_hostname=HOST)


def post(client: ssl.SSLSocket, body: bytes) -> None:
    """One request and its whole answer."""
    client.sendall(f"POST /x HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    answer = b""
    while not answer.endswith(b"\r\n\r\nok"):
        part = client.recv(4096)
        if not part:
            raise SystemExit(f"the answer was {answer[:200]!r}")
        answer += part


def document(size: int) -> bytes:
    """JSON as agents send it."""
    one = json.dumps(
        {"role": "user", "content": "Summarise ticket 4711 for Anna, as text.", "id": 48151623, "ok": True}
    )
    return ("[" + ",".join([one] * (size // len(one))) + "]").encode()


def tunnels(pid: int, port: int) -> dict[str, float]:
    """New tunnels, one at a time."""
    before = cpu(pid)
    for _ in range(60):
        with opened_tunnel(port) as client:
            post(client, b"{}")
    return {"tunnel_cpu_us": (cpu(pid) - before) / 60 * 1e6}


def requests(pid: int, port: int) -> dict[str, float]:
    """Requests one after the other."""
    body = document(1024)
    with opened_tunnel(port) as client:
        post(client, body)
        before, begun = cpu(pid), time.perf_counter()
        for _ in range(300):
            post(client, body)
        return {
            "request_cpu_us": (cpu(pid) - before) / 300 * 1e6,
            "request_us": (time.perf_counter() - begun) / 300 * 1e6,
        }


def uploads(pid: int, port: int) -> dict[str, float]:
    """Eight megabytes each."""
    figures = {}
    for name, body in (("json", document(8 << 20)), ("binary", os.urandom(8 << 20))):
        with opened_tunnel(port) as client:
            before = cpu(pid)
            post(client, body)
            figures[f"{name}_mb_per_cpu_s"] = len(body) / (cpu(pid) - before) / 1e6
    return figures


def subjects(folder: Path, plane: str, target: int, roots: Path) -> dict[str, Start]:
    """Ours twice, and mitmproxy where it is."""
    authority.create(folder / "ca.pem", folder / "ca.key", name="bench", permitted=(), now=clock.now())
    table = {"ca_cert": str(folder / "ca.pem"), "ca_key": str(folder / "ca.key"), "extra_ca": [str(roots)]}
    made = {}
    for name, more in (("closed", {}), ("opened", {"inspect": table})):
        (folder / name).mkdir()
        start = kaizen(folder / name, plane)
        config = folder / name / "kaizen.json"
        settings = json.loads(config.read_text()) | {"hosts": {f"{HOST}:443": f"127.0.0.1:{target}"}} | more
        config.write_text(json.dumps(settings))
        made[name] = start
    program = found("mitmdump")
    if program is not None:
        port = free_port()
        script = folder / "to.py"
        script.write_text(f"def server_connect(data):\n    data.server.address = ('127.0.0.1', {target})\n")
        words = ["-q", "--listen-host", "127.0.0.1", "-p", str(port), "--ssl-insecure", "-s", str(script)]
        words += ["--set", f"confdir={folder}/mitm", "--set", "stream_large_bodies=64k", "--set", "http2=false"]
        made["mitmproxy"] = Start("mitmproxy", port, [program, *words])
    return made


def run(rounds: int) -> dict[str, dict[str, float]]:
    """Medians by subject."""
    loads: tuple[Callable[[int, int], dict[str, float]], ...] = (tunnels, requests, uploads)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ca = trustme.CA()
        ca.cert_pem.write_to_path(str(folder / "roots.pem"))
        ca.issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(str(folder / "api.pem"))
        target = stack.enter_context(origin(folder / "api.pem"))
        plane, _ = stack.enter_context(helper(folder, "plane"))
        there = subjects(folder, f"http://127.0.0.1:{plane}", target, folder / "roots.pem")
        at = {name: (stack.enter_context(started(start)).pid, start.port) for name, start in there.items()}
        seen: dict[str, dict[str, list[float]]] = {name: {} for name in at}
        for pid, port in at.values():
            tunnels(pid, port)  # what is made once has been made; then the policy of 10,000 domains has come, too
        time.sleep(2)
        for number in range(rounds):
            for load in loads:
                for name in at if number % 2 == 0 else reversed(list(at)):
                    print(f"{load.__name__} of {name}", file=sys.stderr, flush=True)
                    for key, value in load(*at[name]).items():
                        seen[name].setdefault(key, []).append(value)
    return {
        name: {key: round(statistics.median(values), 1) for key, values in figures.items()}
        for name, figures in seen.items()
    }


def lines(found: dict[str, object]) -> list[str]:
    """What the page quotes."""
    results = found["results"]
    assert isinstance(results, dict)
    names = [name for name in ORDER if name in results]
    rows = [
        f"`{found['command']}`: {kept.conditions(found)}",
        "",
        "| | " + " | ".join(names) + " |",
        "|---" * (len(names) + 1) + "|",
    ]
    return rows + [
        f"| {what} | " + " | ".join(f"{results[name][key]:,.0f}" for name in names) + " |" for key, what in ROWS.items()
    ]


def main() -> None:
    """Measure, print, and with ``--keep`` store the figures and renew what the docs quote."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="store the figures, and renew the page")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    found: dict[str, object] = {"results": run(args.rounds)}
    if args.keep:
        found = kept.keep("inspection", "make bench-proxy", found)
        kept.quote(PAGE, "inspection", lines(found))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
