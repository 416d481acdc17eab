"""Figures that stay: stored with commit and machine in ``benchmarks/results/``, and quoted by the docs between two marks."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"


def yardstick() -> float:
    """Milliseconds that this machine takes for a fixed piece of plain Python: the least of twenty times.

    Figures of two machines compare only beside it: one and the same program took a third of the time on another day's machine.
    """
    took = []
    for _ in range(20):
        began = time.perf_counter()
        words = {f"{number}.example": number for number in range(5_000)}
        sum(words[f"{number}.example"] for number in range(5_000))
        took.append(time.perf_counter() - began)
    return min(took) * 1000


def machine() -> dict[str, object]:
    """What a figure is worth nothing without."""
    return {
        "system": platform.platform(),
        "python": platform.python_version(),
        "cpus": os.cpu_count(),
        "load": [round(one, 2) for one in os.getloadavg()],
        "yardstick_ms": round(yardstick(), 2),
    }


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True).stdout.strip()


def about(name: str, command: str) -> dict[str, Any]:
    """What every stored result begins with. Taken before a benchmark, the load is what else the machine did."""
    commit = _git("rev-parse", "--short=12", "HEAD")
    # What the benchmarks before this one wrote makes no other program of it.
    if _git("status", "--porcelain", "--", ".", ":!benchmarks/results", ":!docs"):
        commit += "-dirty"
    at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return {"benchmark": name, "command": command, "commit": commit, "machine": machine(), "at": at}


def keep(name: str, command: str, found: dict[str, Any]) -> dict[str, Any]:
    """Store what a benchmark found in place of what it found before; the whole document.

    What ``found`` has of ``about`` itself is kept.
    """
    document = {**about(name, command), **found}
    (RESULTS / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    return document


def stored(name: str) -> dict[str, Any]:
    """What was stored of a benchmark."""
    document: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text())
    return document


def quoted(page: str, name: str, lines: Sequence[str]) -> str:
    """The text of a page with its figures of ``name`` replaced by ``lines``. Raises ValueError when it has no place for them."""
    begin, end = f"<!-- figures: {name}, written by the benchmark -->\n", "<!-- end of figures -->\n"
    head, found, rest = page.partition(begin)
    _, closed, tail = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"the page has no place for figures of {name}")
    return head + begin + "\n" + "\n".join(lines) + "\n\n" + end + tail


def quote(path: str, name: str, lines: Sequence[str]) -> None:
    """Write ``lines`` where the page at ``path`` has its figures of ``name``."""
    page = ROOT / path
    page.write_text(quoted(page.read_text(), name, lines))


def conditions(document: dict[str, Any]) -> str:
    """One sentence: where and how busy."""
    about = document["machine"]
    yardstick = f"yardstick {about['yardstick_ms']} ms, " if "yardstick_ms" in about else ""
    return (
        f"Python {about['python']} on {about['cpus']} cores, load average {about['load'][0]:g}, "
        f"{yardstick}commit {document['commit']}."
    )
