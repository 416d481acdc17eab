"""Durable ingest: rows a second of ``POST /v1/verdicts:batch`` by 100, acknowledged after the commit, on SQLite.

Twice: with a key of scope observer (kept as they are) and of scope agent (evaluated by the Observer, then kept). Rates move with
the machine's neighbours, so the figure to compare is rows for each second of the server's CPU, and its ratio to the floor: the
least that could be called durable ingest, a script that parses the same bodies and puts each into one SQLite table with the same
columns and one index, a commit a batch, without HTTP, keys, checks, counts or deduplication, in the same run.

``python -m benchmarks ingest``, or ``python -m benchmarks.ingest --rounds N``, to print only.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks import ingest_page
from benchmarks.kept import keep, quote
from kaizen_security.server.setup import mint_key
from kaizen_security.store.sqlite import SqliteStore

BATCH = 100
WORKERS = 4


def body(worker: int, number: int) -> bytes:
    """A batch as a reporter sends it: half tool calls, half connections, few agents, 1 in 50 flagged."""
    reports = []
    for i in range(BATCH):
        action = {
            "kind": "connect" if i % 2 else "tool_call",
            "tool": "" if i % 2 else f"tool_{i % 12}",
            "publisher": None,
            "target": f"api{i % 9}.example:443",
            "hash": None,
            "metadata": {"source": "egress" if i % 2 else "sdk"},
            "id": f"{worker:04x}{number:08x}{i:04x}",
            "run_id": f"run-{worker}-{number}",
        }
        evidence = []
        if i % 50 == 7:
            evidence = [
                {"kind": "undeclared tool", "value": "tool_7", "source": "declaration", "detection": "declaration"}
            ]
        verdict = {
            "decision": "allow",
            "reason": "no policy matched",
            "evidence": evidence,
            "policy_version": "4f53cda18c2baa0c",
        }
        reports.append({"schema_version": "1", "agent": f"agent-{worker}", "action": action, "verdict": verdict})
    return json.dumps({"reports": reports}).encode()


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def send(port: int, key: str, bodies: list[bytes], taken: list[int]) -> None:
    """Send batches one after another over one connection."""
    with socket.create_connection(("127.0.0.1", port)) as connection:
        reader = connection.makefile("rb")
        for one in bodies:
            head = f"POST /v1/verdicts:batch HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
            head += f"Content-Length: {len(one)}\r\n\r\n"
            connection.sendall(head.encode() + one)
            status = reader.readline()
            length = 0
            while (line := reader.readline()) != b"\r\n":
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            answer = json.loads(reader.read(length))
            if b" 200 " not in status or answer["accepted"] != BATCH:
                raise SystemExit(f"refused: {status!r} {answer}")
            taken.append(answer["accepted"])


def load(port: int, key: str, first: int, batches: int) -> tuple[int, float]:
    """``batches`` batches from each of several connections; rows and seconds."""
    bodies = [[body(first + worker, number) for number in range(batches)] for worker in range(WORKERS)]
    taken: list[int] = []
    threads = [threading.Thread(target=send, args=(port, key, mine, taken)) for mine in bodies]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(taken), time.monotonic() - started


def rounds(directory: Path, scope: str, count: int, batches: int) -> dict[str, object]:
    """Start a server, warm it, measure some rounds."""
    command = [sys.executable, "-m", "kaizen_security.cli", "server", "--port", "0", "--data", str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = next(int(line.rsplit(":", 1)[1]) for line in server.stdout if line.startswith("listening"))
        store = SqliteStore(directory, exclusive=False)
        key = mint_key(store, name="bench", scope=scope)
        store.close()
        load(port, key, 0, 5)
        rates, costs = [], []
        for turn in range(count):
            before = cpu_seconds(server.pid)
            rows, seconds = load(port, key, (turn + 1) * WORKERS, batches)
            rates.append(rows / seconds)
            costs.append(rows / (cpu_seconds(server.pid) - before))
        server.terminate()
    return _result(scope, rates, costs, count * batches * WORKERS * BATCH)


def floor(directory: Path, count: int, batches: int) -> dict[str, object]:
    """The least: json, one INSERT for each batch, commit."""
    connection = sqlite3.connect(directory / "floor.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    names = "agent kind tool target source metadata id_ run_id decision reason evidence policy_version".split()
    connection.execute(f"CREATE TABLE verdicts (id INTEGER PRIMARY KEY, {', '.join(names)})")
    connection.execute("CREATE INDEX by_agent ON verdicts (agent, id)")
    insert = f"INSERT INTO verdicts ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
    rates, costs = [], []
    for turn in range(count):
        bodies = [body(worker, turn * batches + number) for worker in range(WORKERS) for number in range(batches)]
        began, cpu = time.monotonic(), time.process_time()
        for one in bodies:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(insert, [_plain(report) for report in json.loads(one)["reports"]])
            connection.execute("COMMIT")
        rows = len(bodies) * BATCH
        rates.append(rows / (time.monotonic() - began))
        costs.append(rows / (time.process_time() - cpu))
    connection.close()
    return _result("floor", rates, costs, count * batches * WORKERS * BATCH)


def _plain(report: dict[str, Any]) -> tuple[str, ...]:
    action, verdict = report["action"], report["verdict"]
    kept = (report["agent"], action["kind"], action["tool"], action["target"], action["metadata"]["source"])
    texts = (json.dumps(action["metadata"]), action["id"], action["run_id"], verdict["decision"], verdict["reason"])
    return (*kept, *texts, json.dumps(verdict["evidence"]), verdict["policy_version"])


def _result(scope: str, rates: list[float], costs: list[float], rows: int) -> dict[str, object]:
    return {
        "scope": scope,
        "rows_per_second": round(statistics.median(rates)),
        "rows_per_cpu_second": round(statistics.median(costs)),
        "us_cpu_per_row": round(1e6 / statistics.median(costs), 1),
        "rows": rows,
    }


def main() -> int:
    """Measure both scopes and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rounds", type=int, help="so many, and print only; without it three, kept and quoted by the docs"
    )
    parser.add_argument("--batches", type=int, default=50, help="of 100 rows, by each of 4 connections, in a round")
    parser.add_argument("--data", type=Path, help="where to keep the databases (a temporary directory)")
    args = parser.parse_args()
    several = args.rounds or 3
    with tempfile.TemporaryDirectory(dir=args.data) as directory:
        results = [rounds(Path(directory) / scope, scope, several, args.batches) for scope in ("observer", "agent")]
        results.append(floor(Path(directory), several, args.batches))
    for result in results:
        rates = f"{result['rows_per_second']:>8,} rows/s {result['rows_per_cpu_second']:>8,} rows per CPU second"
        print(f"{result['scope']:<9} {rates} {result['us_cpu_per_row']:>6} us CPU a row ({result['rows']:,} rows)")
    if not args.rounds:
        found = {"target_rows_per_cpu_second": 25_000, "results": results}
        quote(ingest_page.PAGE, "ingest", ingest_page.lines(keep("ingest", "python -m benchmarks ingest", found)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
