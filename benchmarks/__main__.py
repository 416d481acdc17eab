"""``python -m benchmarks`` runs every benchmark in turn; ``python -m benchmarks NAME …`` some of them.

Each is a command of its own too (``python -m benchmarks.inspect --help``). They are run one after another, never side by side.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys

ALL = (
    "inspect",
    "observer",
    "replay",
    "client",
    "sidecar",
    "holds",
    "ingest",
    "console",
    "proxy",
    "mcp",
    "integrations",
    "sandbox",
    "typescript",
    "kernel",
)


def main(argv: list[str]) -> int:
    """Run them; the exit status is the worst of theirs."""
    unknown = set(argv) - set(ALL)
    if unknown:
        print(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(ALL)}", file=sys.stderr)
        return 2
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(
        f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores, load {load}\n", flush=True
    )
    worst = 0
    for name in argv or ALL:
        print(f"== {name}", flush=True)
        worst = max(worst, subprocess.run([sys.executable, "-m", f"benchmarks.{name}"]).returncode)
        print(flush=True)
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
