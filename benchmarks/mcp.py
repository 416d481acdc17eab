"""What standing before an MCP server costs: ``python -m benchmarks.mcp [--rounds N] [--calls N] [--no-keep]``.

One client, one server, the same calls directly, through Kaizen, and through another maker's proxy (fastmcp, from PyPI), rounds
interleaved and in turned order: over standard input and output one at a time and a hundred at once; over HTTP one at a time, and
500 a second on a timetable that waits for nobody (each call counts from when it was due). With the client library alone (policy and
declaration), since what a sidecar adds is in ``benchmarks.sidecar``. And memory of shim and gateway while replies of 10 MB pass,
and how often each proxy initialised a session.
Budgets: stdio p50 at most 0.3 ms more, HTTP p50 at most 1.5 ms and p99 at most 5 ms at 500 calls a second.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.kept import about, keep
from benchmarks.mcp_peers import HTTP, PROXY_HTTP, PROXY_STDIO, STDIO, fastmcp

RATE = 500
CONNECTIONS = 16
SERVER = [sys.executable, "-u", "-c", STDIO]
OPENING = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}


def call(id_: int, tool: str = "look") -> bytes:
    """A call of ordinary size."""
    arguments = {"query": "orders of the last week", "limit": 20, "url": "https://api.internal/v1/orders"}
    params = {"name": tool, "arguments": arguments}
    return json.dumps({"jsonrpc": "2.0", "id": id_, "method": "tools/call", "params": params}).encode()


def bare(data: str) -> dict[str, str]:
    """An environment without settings of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KAIZEN_")}
    return {**kept, "KAIZEN_DATA": data, "FASTMCP_LOG_LEVEL": "ERROR", "FASTMCP_CHECK_FOR_UPDATES": "off"}


# --- standard input and output ------------------------------------------------------------------------------------------


class Stdio:
    """A server, directly or behind something, spoken to over pipes."""

    def __init__(self, words: list[str], data: str) -> None:
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=bare(data), bufsize=0
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._in = self.process.stdin
        self._out = os.fdopen(os.dup(self.process.stdout.fileno()), "rb")
        self.ask(json.dumps({"jsonrpc": "2.0", "id": "o", "method": "initialize", "params": OPENING}).encode())
        self._in.write(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')

    def ask(self, line: bytes) -> bytes:
        """The line that answers it."""
        self._in.write(line + b"\n")
        return self._out.readline()

    def one_at_a_time(self, calls: int, first: int) -> list[float]:
        """Milliseconds of each call."""
        took = []
        for id_ in range(first, first + calls):
            began = time.perf_counter()
            self.ask(call(id_))
            took.append((time.perf_counter() - began) * 1e3)
        return took

    def at_once(self, calls: int, first: int) -> float:
        """Calls a second, a hundred under way at a time."""
        began = time.perf_counter()
        for start in range(first, first + calls, 100):
            self._in.write(b"".join(call(id_) + b"\n" for id_ in range(start, start + 100)))
            for _ in range(100):
                self._out.readline()
        return calls / (time.perf_counter() - began)

    def close(self) -> None:
        """End its input, and with it the server."""
        self._in.close()
        self._out.read()
        self._out.close()
        self.process.wait(20)


def resident(pid: int) -> int:
    """The most KB that the process ever had resident."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


def over_stdio(ways: dict[str, list[str]], rounds: int, calls: int, data: str) -> dict[str, object]:
    """Latency and rate of each way; how the shim's memory grew while ten replies of 10 MB passed."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    rate: dict[str, list[float]] = {name: [] for name in ways}
    open_: dict[str, Stdio] = {name: Stdio(words, data) for name, words in ways.items()}
    for turn in range(rounds):
        for name, peer in list(open_.items())[:: -1 if turn % 2 else 1]:
            share = calls if name != "fastmcp" else max(1, calls // 5)
            took[name] += peer.one_at_a_time(share, turn * 1_000_000)
            rate[name].append(peer.at_once(max(100, share // 100 * 100), turn * 1_000_000 + 500_000))
    began = resident(open_["kaizen"].process.pid)
    for id_ in range(10):
        assert len(open_["kaizen"].ask(call(9_000_000 + id_, "big"))) > 10_000_000
    grew = resident(open_["kaizen"].process.pid) - began
    for peer in open_.values():
        peer.close()
    return {
        "one_at_a_time": {name: shown(one) for name, one in took.items()},
        "calls_a_second_100_at_once": {name: round(statistics.median(one)) for name, one in rate.items()},
        "shim_grew_kb_over_ten_replies_of_10_mb": grew,
    }


# --- HTTP ---------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def listening(words: list[str], data: str, port: int = 0) -> Iterator[tuple[int, int]]:
    """A server's port and process id. ``port``: the one that it was told; else it says which."""
    out = subprocess.DEVNULL if port else subprocess.PIPE
    with subprocess.Popen(words, stdout=out, stderr=subprocess.DEVNULL, env=bare(data), text=True) as process:
        if not port:
            assert process.stdout is not None
            port = int(process.stdout.readline().rsplit(":", 1)[1])
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield port, process.pid
        process.terminate()


def free_port() -> int:
    """A port that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Http:
    """A session at a server, directly or behind something."""

    def __init__(self, port: int, path: str, pid: int = 0) -> None:
        self.port, self.path, self.pid = port, path, pid
        self.headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        opened = json.dumps({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": OPENING}).encode()
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("POST", path, opened, self.headers)
        answer = connection.getresponse()
        answer.read()
        self.headers["Mcp-Session-Id"] = answer.headers["Mcp-Session-Id"] or ""
        connection.request("POST", path, b'{"jsonrpc":"2.0","method":"notifications/initialized"}', self.headers)
        connection.getresponse().read()
        connection.close()

    def one_at_a_time(self, calls: int, first: int, tool: str = "look") -> list[float]:
        """Milliseconds of each call, on one connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        took = []
        for id_ in range(first, first + calls):
            began = time.perf_counter()
            connection.request("POST", self.path, call(id_, tool), self.headers)
            assert b'"result"' in connection.getresponse().read()
            took.append((time.perf_counter() - began) * 1e3)
        connection.close()
        return took

    async def on_time(self, calls: int, first: int) -> list[float]:
        """Milliseconds of each call since it was due, ``RATE`` a second, on as many kept connections as are free."""
        head = f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
        head += "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        for _ in range(CONNECTIONS):
            free.put_nowait(await asyncio.open_connection("127.0.0.1", self.port))
        took: list[float] = []

        async def one(id_: int, due: float) -> None:
            reader, writer = await free.get()
            body = call(id_)
            writer.write(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            await _reply(reader)
            took.append((time.perf_counter() - due) * 1e3)
            free.put_nowait((reader, writer))

        began, under_way = time.perf_counter(), []
        for n in range(calls):
            due = began + n / RATE
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            under_way.append(asyncio.create_task(one(first + n, due)))
        await asyncio.gather(*under_way)
        while not free.empty():
            free.get_nowait()[1].close()
        return took


async def _reply(reader: asyncio.StreamReader) -> None:
    """Read one reply, counted or in chunks."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    assert head.startswith(b"http/1.1 200"), head
    if b"content-length:" in head:
        await reader.readexactly(int(head.partition(b"content-length:")[2].partition(b"\r\n")[0]))
        return
    while size := int(await reader.readuntil(b"\r\n"), 16):
        await reader.readexactly(size + 2)
    await reader.readexactly(2)


def over_http(python: str, rounds: int, calls: int, data: str) -> dict[str, object]:
    """Latency of each way, one at a time and on time; sessions that were opened; the gateway's memory over replies of 10 MB."""
    with contextlib.ExitStack() as stack:
        port, _ = stack.enter_context(listening([sys.executable, "-c", HTTP], data))
        url = f"http://127.0.0.1:{port}/mcp"
        words = [sys.executable, "-m", "kaizen_security.cli", "mcp", "gateway", "--server", f"bench={url}", "--port"]
        at, pid = stack.enter_context(listening([*words, "0"], data))
        ways = {"direct": Http(port, "/mcp"), "kaizen": Http(at, "/bench/mcp", pid)}
        if python:
            other = free_port()
            stack.enter_context(listening([python, "-c", PROXY_HTTP, url, str(other)], data, other))
            ways["fastmcp"] = Http(other, "/mcp")
        took: dict[str, list[float]] = {name: [] for name in ways}
        on_time: dict[str, list[float]] = {name: [] for name in ways}
        opened = dict.fromkeys(ways, 0)
        for turn in range(rounds):
            for name, peer in list(ways.items())[:: -1 if turn % 2 else 1]:
                before = began(url)
                share = calls if name != "fastmcp" else max(1, calls // 50)
                took[name] += peer.one_at_a_time(share, turn * 1_000_000)
                if name != "fastmcp":
                    on_time[name] += asyncio.run(peer.on_time(RATE * 2, turn * 1_000_000 + 500_000))
                opened[name] += began(url) - before
        ways["kaizen"].one_at_a_time(2, 8_000_000, "big")
        before = resident(pid)
        ways["kaizen"].one_at_a_time(10, 9_000_000, "big")
        grew = resident(pid) - before
    return {
        "one_at_a_time": {name: shown(one) for name, one in took.items()},
        f"at_{RATE}_calls_a_second": {name: shown(one) for name, one in on_time.items() if one},
        "sessions_opened_by_these_calls": opened,
        "gateway_grew_kb_over_ten_replies_of_10_mb": grew,
    }


def began(url: str) -> int:
    """Sessions that the server was asked to open so far."""
    connection = http.client.HTTPConnection(url.split("/")[2])
    connection.request(
        "POST", "/mcp", b'{"jsonrpc":"2.0","id":1,"method":"began"}', {"Content-Type": "application/json"}
    )
    found = json.loads(connection.getresponse().read())["result"]["began"]
    connection.close()
    return int(found)


# --- together -----------------------------------------------------------------------------------------------------------


def shown(took: list[float]) -> dict[str, float]:
    """p50 and p99 in milliseconds."""
    took = sorted(took)
    return {"p50_ms": round(statistics.median(took), 3), "p99_ms": round(took[int(len(took) * 0.99)], 3)}


def measured(rounds: int, calls: int) -> dict[str, Any]:
    """Everything."""
    python, version = fastmcp()
    ways = {
        "direct": SERVER,
        "kaizen": [sys.executable, "-m", "kaizen_security.mcp", "--name", "bench", "--", *SERVER],
    }
    if python:
        ways["fastmcp"] = [python, "-c", PROXY_STDIO, *SERVER]
    with tempfile.TemporaryDirectory() as data:
        return {
            **about("mcp", f"python -m benchmarks.mcp --rounds {rounds} --calls {calls}"),
            "fastmcp": version,
            "stdio": over_stdio(ways, rounds, calls, data),
            "http": over_http(python, rounds, calls, data),
        }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--no-keep", action="store_true", help="print only")
    args = parser.parse_args()
    found = measured(args.rounds, args.calls)
    print(json.dumps(found, indent=1))
    if not args.no_keep:
        keep("mcp", found["command"], found)


if __name__ == "__main__":
    main()
