"""The tests' control plane as a process: ``python server.py PORT FILE``. Appends each report's tool to FILE before it answers."""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[3]))

from tests.unit.client.upstream import Upstream


class Counting(Upstream):
    """Writes what it took before it answers."""

    def _batch(self, reports):
        before = len(self.reports)
        answer = super()._batch(reports)
        lines = "".join(report["action"]["tool"] + "\n" for report in self.reports[before:])
        os.write(self.file, lines.encode())
        return answer


if __name__ == "__main__":
    upstream = Counting(port=int(sys.argv[1]))
    upstream.file = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    upstream.delay = float(sys.argv[3]) if len(sys.argv) > 3 else 0.0
    print(f"listening on {upstream.url}", flush=True)
    upstream._thread.join()
