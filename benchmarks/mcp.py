"""What standing before an MCP server costs: ``python -m benchmarks.mcp [--rounds N] [--calls N] [--json FILE]``.

One client, one server, the same calls directly and through Kaizen, rounds interleaved and in turned order: over standard input and
output one at a time and a hundred at once, over HTTP one at a time on one connection; with the client library alone (policy and
declaration), since what a sidecar adds is in ``benchmarks.sidecar``. And the memory of the shim while replies of 10 MB pass.
Budgets: stdio p50 at most 0.3 ms more, HTTP p50 at most 1.5 ms more.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SERVER = """
import sys, json
big = {"content": [{"type": "text", "text": "x" * 10_000_000}]}
small = {"content": [{"type": "text", "text": "a result of an ordinary length, " * 8}]}
for line in sys.stdin:
    message = json.loads(line)
    if "id" in message:
        name = message.get("params", {}).get("name")
        reply = {"jsonrpc": "2.0", "id": message["id"], "result": big if name == "big" else small}
        sys.stdout.write(json.dumps(reply) + "\\n")
        sys.stdout.flush()
"""


def call(id_: int, tool: str = "look") -> bytes:
    """A call of ordinary size."""
    arguments = {"query": "orders of the last week", "limit": 20, "url": "https://api.internal/v1/orders"}
    params = {"name": tool, "arguments": arguments}
    return json.dumps({"jsonrpc": "2.0", "id": id_, "method": "tools/call", "params": params}).encode()


@contextlib.contextmanager
def spoken_to(shim: bool, data: str) -> Iterator[subprocess.Popen[bytes]]:
    """The server, directly or behind the shim."""
    words = [sys.executable, "-u", "-c", SERVER]
    if shim:
        words = [sys.executable, "-m", "kaizen_security.mcp", "--name", "bench", "--", *words]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KAIZEN_")}
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**kept, "KAIZEN_DATA": data}, bufsize=0
    ) as process:
        assert process.stdin is not None
        yield process
        process.stdin.close()
        process.wait(20)


def one_at_a_time(process: subprocess.Popen[bytes], calls: int, first: int) -> list[float]:
    """Milliseconds of each call."""
    assert process.stdin is not None
    assert process.stdout is not None
    reader = os.fdopen(os.dup(process.stdout.fileno()), "rb")
    took = []
    with reader:
        for id_ in range(first, first + calls):
            began = time.perf_counter()
            process.stdin.write(call(id_) + b"\n")
            reader.readline()
            took.append((time.perf_counter() - began) * 1e3)
    return took


def at_once(process: subprocess.Popen[bytes], calls: int, first: int) -> float:
    """Calls a second, a hundred under way at a time."""
    assert process.stdin is not None
    assert process.stdout is not None
    began = time.perf_counter()
    with os.fdopen(os.dup(process.stdout.fileno()), "rb") as reader:
        for start in range(first, first + calls, 100):
            process.stdin.write(b"".join(call(id_) + b"\n" for id_ in range(start, start + 100)))
            for _ in range(100):
                reader.readline()
    return calls / (time.perf_counter() - began)


def resident(pid: int) -> int:
    """The most KB that the process ever had resident."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def memory(data: str) -> dict[str, float]:
    """How much the shim grew while ten replies of 10 MB passed, and how long one took."""
    with spoken_to(True, data) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with os.fdopen(os.dup(process.stdout.fileno()), "rb") as reader:
            process.stdin.write(call(0) + b"\n")
            reader.readline()
            before = resident(process.pid)
            began = time.perf_counter()
            for id_ in range(1, 11):
                process.stdin.write(call(id_, "big") + b"\n")
                assert len(reader.readline()) > 10_000_000
            took = (time.perf_counter() - began) / 10
        return {"grew_kb": resident(process.pid) - before, "seconds_each": took}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        """Answer a call."""
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        result = {"content": [{"type": "text", "text": "a result of an ordinary length, " * 8}]}
        body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()


def over_http(port: int, path: str, calls: int) -> list[float]:
    """Milliseconds of each call, on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    took = []
    for id_ in range(calls):
        began = time.perf_counter()
        connection.request("POST", path, call(id_), {"Content-Type": "application/json", "Accept": "application/json"})
        connection.getresponse().read()
        took.append((time.perf_counter() - began) * 1e3)
    connection.close()
    return took


@contextlib.contextmanager
def gateway(url: str, data: str) -> Iterator[int]:
    """The gateway's port."""
    words = [sys.executable, "-m", "kaizen_security.cli", "mcp", "gateway", "--server", f"bench={url}", "--port", "0"]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KAIZEN_")}
    with subprocess.Popen(words, stdout=subprocess.PIPE, env={**kept, "KAIZEN_DATA": data}, text=True) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline().rsplit(":", 1)[1])
        process.terminate()


def shown(took: list[float]) -> dict[str, float]:
    """p50 and p99 in milliseconds."""
    took = sorted(took)
    return {"p50_ms": statistics.median(took), "p99_ms": took[int(len(took) * 0.99)]}


def measured(rounds: int, calls: int) -> dict[str, object]:
    """Everything."""
    took: dict[str, list[float]] = {name: [] for name in ("stdio direct", "stdio shim", "http direct", "http gateway")}
    rate: dict[str, list[float]] = {"stdio direct": [], "stdio shim": []}
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as data:
        with spoken_to(False, data) as direct, spoken_to(True, data) as shim:
            for turn in range(rounds):
                pairs = [("stdio direct", direct), ("stdio shim", shim)]
                for name, process in pairs if turn % 2 else reversed(pairs):
                    took[name] += one_at_a_time(process, calls, turn * 1_000_000)
                    rate[name].append(at_once(process, calls, turn * 1_000_000 + 500_000))
        with gateway(f"http://127.0.0.1:{server.server_port}/mcp", data) as port:
            over_http(port, "/bench/mcp", 50)
            for turn in range(rounds):
                ways = [("http direct", server.server_port, "/mcp"), ("http gateway", port, "/bench/mcp")]
                for name, at, path in ways if turn % 2 else reversed(ways):
                    took[name] += over_http(at, path, calls)
        large = memory(data)
    server.shutdown()
    server.server_close()
    return {
        "command": f"python -m benchmarks.mcp --rounds {rounds} --calls {calls}",
        "machine": f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "latency": {name: shown(one) for name, one in took.items()},
        "calls_a_second_100_at_once": {name: statistics.median(one) for name, one in rate.items()},
        "ten_megabytes": large,
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args()
    found = measured(args.rounds, args.calls)
    print(json.dumps(found, indent=1))
    if args.json:
        Path(args.json).write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
