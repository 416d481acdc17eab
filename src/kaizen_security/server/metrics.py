"""What the server counts of itself, in Prometheus' text exposition format (version 0.0.4).

Label values are closed sets of this program (routes, methods, decisions, kinds of exports): nothing that an agent or a caller says
becomes one, so the number of series is bounded. Counts are of this process since its start, of all organisations together.
"""

from __future__ import annotations

import bisect
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper bounds in seconds."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


HOLD_BUCKETS = (1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""The same for people."""


class Histogram:
    """Durations in seconds."""

    def __init__(self, buckets: Sequence[float] = BUCKETS) -> None:
        self._buckets = buckets
        self._counts = [0] * (len(buckets) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self._counts[bisect.bisect_left(self._buckets, seconds)] += 1
        self._sum += seconds

    def samples(self, name: str, labels: Mapping[str, str]) -> Iterable[str]:
        """Its lines: cumulative buckets, sum and count."""
        total = 0
        for bound, count in zip((*map(str, self._buckets), "+Inf"), self._counts, strict=True):
            total += count
            yield sample(f"{name}_bucket", {**labels, "le": bound}, total)
        yield sample(f"{name}_sum", labels, self._sum)
        yield sample(f"{name}_count", labels, total)


class Metrics:
    """The counts. For the event loop's thread."""

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, str, str]] = Counter()
        """By route (as the program writes it), method and status."""
        self.verdicts: Counter[tuple[str, str]] = Counter()
        """Rows kept, by decision and origin."""
        self.flagged = 0
        self.held = 0
        """Rows kept of actions that were held."""
        self.hold_seconds = Histogram(HOLD_BUCKETS)
        """How long an action waited until a person answered here."""
        self.duplicates = 0
        self.store = {"append": Histogram(), "call": Histogram()}
        """Until a commit was on disk; until any other use of the store had its answer, waiting for a thread included."""

    def answered(self, route: str, method: str, status: int) -> None:
        """Count a request."""
        self.requests[route, method if method in METHODS else "other", str(status)] += 1


def sample(name: str, labels: Mapping[str, str], value: float) -> str:
    """One line."""
    said = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{name}{{{said}}} {value}" if said else f"{name} {value}"


def family(name: str, kind: str, help_: str, samples: Iterable[str]) -> list[str]:
    """A metric's lines, with what it is before them; ``kind`` is counter, gauge or histogram."""
    return [f"# HELP {name} {help_}", f"# TYPE {name} {kind}", *samples]


def counts(
    name: str,
    labels: Sequence[str],
    counter: Mapping[tuple[str, str, str], int] | Mapping[tuple[str, str], int] | Mapping[tuple[str], int],
) -> list[str]:
    """A counter's samples, in an order that stays."""
    found: list[tuple[tuple[str, ...], int]] = sorted(counter.items())
    return [sample(name, dict(zip(labels, key, strict=True)), value) for key, value in found]


def process() -> list[str]:
    """This process's memory, files and CPU; only where ``/proc`` is, which is Linux."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        files = len(os.listdir("/proc/self/fd"))
    except OSError:
        return []
    memory = pages * os.sysconf("SC_PAGE_SIZE")
    times = os.times()
    return [
        *family(
            "process_resident_memory_bytes",
            "gauge",
            "Resident memory.",
            [sample("process_resident_memory_bytes", {}, memory)],
        ),
        *family("process_open_fds", "gauge", "Open files.", [sample("process_open_fds", {}, files)]),
        *family(
            "process_cpu_seconds_total",
            "counter",
            "CPU time, user and system.",
            [sample("process_cpu_seconds_total", {}, times.user + times.system)],
        ),
    ]


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
