"""What ``docs/reference/client.md`` quotes of ``benchmarks.client``."""

from __future__ import annotations

from typing import Any

from benchmarks.kept import conditions

PAGE = "docs/reference/client.md"
_ROWS = (
    ("empty call", "an empty call"),
    ("inspect, repeated action", "`inspect`, a repeated action"),
    ("inspect, new targets", "`inspect(tool=, target=)`, a new target, policy and declaration"),
    ("  … 1 entries", "the same with 1 denied domain"),
    ("  … 100000 entries", "the same with 100,000 denied domains"),
    ("lookup in the baseline", "the sidecar's lookup of a new action in a baseline of 12 tools and 40 hosts"),
    ("scan for secrets, 2 KB", "the sidecar's scan of 2 KB of clean arguments for secrets"),
    ("inspect and report", "`inspect` and its report"),
    ("guarded call and report", "a guarded call and its report"),
    ("naive queue and POST", "what most people write: a queue, a thread, a POST each"),
)


def lines(found: dict[str, Any]) -> list[str]:
    """The paragraph and its tables."""
    calls, stalls, reports = found["calls"], found["stalls"], found["reports"]
    naive = reports["naive"]
    made = [
        f"`{found['command']}`: {conditions(found)}",
        "",
        "| call | p50 µs | p99 µs | CPU µs | longest ms | of it ours |",
        "|---|---|---|---|---|---|",
    ]
    for name, words in _ROWS:
        one, stall = calls[name], stalls.get(name)
        longest = f"{stall['longest_ms']:.2f} | {stall['longest_of_ours_ms']:.2f}" if stall else " | "
        made.append(f"| {words} | {one['p50_us']:.2f} | {one['p99_us']:.1f} | {one['cpu_us']:.1f} | {longest} |")
    audit, imports = found["audit_us_cpu"], found["import_ms_cpu"]
    lost = 100 * naive["lost"] / max(1, naive["reported"])
    return [
        *made,
        "",
        f"Our thread takes {reports['kaizen']['background_cpu_us_each']:g} µs of CPU for a report.",
        f"Of {reports['kaizen']['reported']:,} reports {reports['kaizen']['lost']:,} were lost; of the queue with a POST each "
        f"{lost:.0f} %.",
        f"Opening and closing a file costs {audit['without']:g} µs of CPU without the package, {audit['off']:g} µs with it "
        f"(ratio {audit['off_ratio']:g}), and {audit['on']:g} µs with `audit=True`: {audit['each_event']:g} µs for an event.",
        f"Importing the client takes {imports['import kaizen_security + Kaizen']:.0f} ms of CPU.",
    ]
