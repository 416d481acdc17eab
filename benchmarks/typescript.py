"""What the TypeScript client costs its agent: ``python -m benchmarks typescript``, or ``python -m benchmarks.typescript``.

Beside each other in one process of Node, rounds interleaved: an empty call, ``inspect`` and ``inspectSync`` of a repeated action,
new targets against 1 and 100,000 entries, and a call with its report (a server that answers runs as a process of its own). Then the
import, in CPU beyond a bare Node's, its size, minified and compressed, and the size of npm's file. Budgets: enqueue 5 µs,
decision 10 µs (p50), package 40 KB, import 20 ms. On shared cores compare CPU, not wall time. Takes a minute, needs Node and npm.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.kept import ROOT, conditions, keep, quote
from tests.unit.client.upstream import free_port

TYPESCRIPT = ROOT / "typescript"
PAGE = "docs/how-to/typescript.md"
DECISION, ENQUEUE, PACKAGE, IMPORT = 10.0, 5.0, 40 * 1024, 20.0


def measure() -> dict[str, Any]:
    """All figures."""
    subprocess.run([TYPESCRIPT / "run.sh", "build"], check=True, stdout=subprocess.DEVNULL)
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        words = [sys.executable, str(ROOT / "tests/e2e/client/server.py"), str(port), str(Path(folder) / "arrived")]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as server:
            assert server.stdout is not None
            server.stdout.readline()
            script = TYPESCRIPT / "scripts" / "measure.mjs"
            said = subprocess.run(["node", script, f"http://127.0.0.1:{port}"], check=True, capture_output=True)
            server.kill()
        found: dict[str, Any] = json.loads(said.stdout)
        entry = Path(folder) / "entry.mjs"
        entry.write_text(f"export * from {json.dumps(str(TYPESCRIPT / 'dist' / 'index.js'))};")
        esbuild = TYPESCRIPT / "node_modules" / ".bin" / "esbuild"
        words = [str(esbuild), str(entry), "--bundle", "--minify", "--platform=node", "--format=esm"]
        bundled = subprocess.run(words, check=True, capture_output=True).stdout
        packed = subprocess.run(["npm", "pack", "--dry-run", "--json"], check=True, capture_output=True, cwd=TYPESCRIPT)
    tarball = json.loads(packed.stdout)[0]["size"]
    found["package"] = {"minified": len(bundled), "gzipped": len(gzip.compress(bundled, 9)), "tarball": tarball}
    return found


def lines(found: dict[str, Any]) -> list[str]:
    """The figures as the page shows them."""
    loading, size = found["import"], found["package"]
    return [
        f"`python -m benchmarks typescript`; Node {found['node']}, {conditions(found)}",
        "",
        "| call | p50 µs | p99 µs | CPU µs |",
        "|---|---|---|---|",
        *(f"| {name} | {one['p50']} | {one['p99']} | {one['cpu']} |" for name, one in found["calls"].items()),
        "",
        f"Importing it takes {loading['cpu_ms']} ms of CPU beyond Node's own start, {loading['wall_ms']} ms of wall time.",
        f"What an agent loads is {size['gzipped'] / 1024:.1f} KB, minified and compressed by gzip; a bundler that needs only "
        "`evaluate` takes half.",
        f"What npm downloads is {size['tarball'] / 1024:.1f} KB: that and the adapters, types and the licence.",
        f"A policy of 100,000 domains is compiled in {found['compile_100k_ms']} ms.",
    ]


def main() -> int:
    """Measure, keep, quote; status 1 when a budget is not kept."""
    found = keep("typescript", "python -m benchmarks typescript", measure())
    quote(PAGE, "typescript", lines(found))
    print("\n".join(lines(found)))
    calls = found["calls"]
    late = [
        name
        for name, limit in ((name, ENQUEUE if "report" in name else DECISION) for name in calls)
        if calls[name]["p50"] > limit
    ]
    over = [*late, *(["import"] if found["import"]["cpu_ms"] > IMPORT else [])]
    over += ["what an agent loads"] if found["package"]["gzipped"] > PACKAGE else []
    print("over budget: " + (", ".join(over) or "nothing"))
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
