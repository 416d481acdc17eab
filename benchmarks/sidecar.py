"""How long hostile bodies make others wait at the sidecar: one caller sends them, another inspects a small action all the while.

The figure is the longest wait of the small one, beside its longest wait with nobody else there, in the same run.

``python -m benchmarks.sidecar [--json]``
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.kept import keep
from kaizen_security.client.http import Connection

BUDGET_MS = 100.0
ONE, BATCH = (1 << 20) - 512, (2 << 20) - 512
"""Just within what is taken, in bytes: of one document, of a batch."""
VALUES, NODES = 49_000, 19_000
"""Just within what is parsed, and what is taken in one action's metadata."""


def _action(metadata: str) -> bytes:
    return ('{"agent":"hostile","action":{"tool":"t","metadata":{"arguments":' + metadata + "}}}").encode()


def _list(entry: str, count: int) -> bytes:
    return _action("[" + ",".join([entry] * min(count, ONE // (len(entry) + 1))) + "]")


def _many(one: str, key: str, size: int) -> bytes:
    count = min(1000, size // (len(one) + 1))
    return ('{"agent":"hostile","' + key + '":[' + ",".join([one] * count) + "]}").encode()


def bodies() -> dict[str, tuple[str, bytes]]:
    """Path and body by name: what is refused before it is parsed, what is parsed and refused, what is judged."""
    filler = '{"tool":"t","target":"host.example:443","metadata":{"arguments":{"q":"' + "w " * 480 + '"}}}'
    step = '{"step":"message","role":"user","text":"' + "word " * 300 + '"}'
    tools = json.dumps({"tools": ["t" * 240 + str(i) for i in range(1000)]})
    return {
        "too long": ("/v1/inspect", b" " * (30 << 20)),
        "no JSON": ("/v1/inspect", b"[" * ONE),
        "too many numbers": ("/v1/inspect", _list("0", ONE)),
        "too many texts": ("/v1/inspect", _list('""', ONE)),
        "numbers, parsed": ("/v1/inspect", _list("0", VALUES)),
        "lists, parsed": ("/v1/inspect", _list("[]", VALUES)),
        "nested, parsed": ("/v1/inspect", _list("[" * 20 + "]" * 20, VALUES // 21)),
        "numbers, judged": ("/v1/inspect", _list("0", NODES)),
        "texts, judged": ("/v1/inspect", _list('"/etc/passwd"', NODES)),
        "keys, judged": ("/v1/inspect", _action("{" + ",".join(f'"{i:x}":0' for i in range(NODES)) + "}")),
        "nested, judged": ("/v1/inspect", _list("[" * 20 + "]" * 20, NODES // 20)),
        "one text, judged": ("/v1/inspect", _action('"' + "curl http://a.example " * (ONE // 23) + '"')),
        "1000 actions": ("/v1/inspect", _many(filler, "actions", ONE)),
        "1000 reports": ("/v1/verdicts:batch", _many('{"action":' + filler + "}", "reports", BATCH)),
        "1000 steps": ("/v1/steps", _many(step, "steps", BATCH)),
        "1000 tools": ("/v1/agents/hostile/manifest", tools.encode()),
    }


def small(connection: Connection) -> float:
    """Milliseconds of one small inspect."""
    began = time.perf_counter()
    body = b'{"agent":"bystander","action":{"tool":"search","target":"api.example:443"}}'
    status, _, answer = connection.request("POST", "/v1/inspect", body, {}, 30.0)
    if status != 200:
        raise SystemExit(f"refused: {status} {answer[:200]!r}")
    return (time.perf_counter() - began) * 1000


def meanwhile(address: str, work: Callable[[], object]) -> list[float]:
    """Waits of small inspects while ``work`` runs in a thread."""
    thread = threading.Thread(target=work)
    connection = Connection(address)
    waits = [small(connection)]
    thread.start()
    while thread.is_alive():
        waits.append(small(connection))
        time.sleep(0.001)
    thread.join()
    connection.close()
    return waits


def send(path: Path, target: str, body: bytes, times: int) -> int:
    """Send a body as bytes over a socket of its own (a client that reads our answer only at the end); the last status."""
    status = 0
    head = f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
    for _ in range(times):
        with socket.socket(socket.AF_UNIX) as one:
            one.connect(str(path))
            one.sendall(head + body)
            answer = b""
            while got := one.recv(1 << 16):
                answer = answer or got
            status = int(answer.split(b" ", 2)[1])
    return status


def measure(directory: Path, times: int) -> list[dict[str, object]]:
    """A sidecar of its own, every body ``times`` times; the longest wait of a small action meanwhile."""
    path = directory / "s.sock"
    command = [sys.executable, "-m", "kaizen_security.cli", "sidecar", "--socket", str(path), "--port", "-1"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KAIZEN_")}
    with subprocess.Popen([*command, "--data", str(directory)], stdout=subprocess.PIPE, env=environment) as sidecar:
        assert sidecar.stdout is not None
        sidecar.stdout.readline()
        address = f"unix://{path}"
        found: list[dict[str, object]] = []
        alone = meanwhile(address, lambda: time.sleep(1.0))
        found.append(_row("nobody else", 0, 0, alone))
        for name, (target, body) in bodies().items():
            statuses: list[int] = []
            waits = meanwhile(address, lambda: statuses.append(send(path, target, body, times)))  # noqa: B023 - done before the next
            found.append(_row(name, len(body), statuses[0], waits))
        sidecar.send_signal(signal.SIGTERM)
    return found


def _row(name: str, size: int, status: int, waits: list[float]) -> dict[str, object]:
    return {
        "body": name,
        "bytes": size,
        "status": status,
        "p50_ms": round(statistics.median(waits), 2),
        "longest_ms": round(max(waits), 1),
    }


def main() -> int:
    """Measure and print; 1 when a body makes others wait longer than the budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5, help="how often each body is sent")
    parser.add_argument("--keep", action="store_true", help="store the figures in benchmarks/results/sidecar.json")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        found = measure(Path(directory), args.times)
    machine = {"python": platform.python_version(), "cpus": os.cpu_count(), "machine": platform.machine()}
    if args.keep:
        keep("sidecar", "python -m benchmarks.sidecar --keep", {"results": found})
    if args.json:
        print(json.dumps({"benchmark": "sidecar", "budget_ms": BUDGET_MS, "machine": machine, "results": found}))
    else:
        for row in found:
            print(
                "  {body:<17} {bytes:>9,} bytes  {status:>3}  p50 {p50_ms:>8} ms  longest {longest_ms:>8} ms".format(
                    **row
                )
            )
    return 1 if any(float(str(row["longest_ms"])) > BUDGET_MS for row in found) else 0


if __name__ == "__main__":
    raise SystemExit(main())
