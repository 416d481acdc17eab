"""Every figure on one page: ``python -m benchmarks.figures`` writes ``docs/reference/figures.md``, and pictures, of what is
stored in ``benchmarks/results/``; ``--run`` measures all of it first, one after the other (``make figures``; about half an hour).

A figure without a stored result is said to be missing, one over its budget to be over it, and where another program of the same run
is better, that is a row of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from benchmarks import proxy_page, week_page
from benchmarks.kept import RESULTS, ROOT
from benchmarks.proxy_page import ROWS as PROXY_ROWS

PAGE = ROOT / "docs" / "reference" / "figures.md"
IMAGES = ROOT / "docs" / "images"
COMMANDS = (
    "benchmarks.inspect --keep",
    "benchmarks.observer --keep",
    "benchmarks.replay --keep",
    "benchmarks.client",
    "benchmarks.sidecar --keep",
    "benchmarks.ingest",
    "benchmarks.console --rows 1000000 --keep",
    "benchmarks.proxy --keep",
    "benchmarks.inspection --keep",
    "benchmarks.mcp --rounds 3 --calls 500",
    "benchmarks.integrations --keep",
    "benchmarks.sandbox",
    "benchmarks.typescript",
    "benchmarks.kernel",
)
"""Modules with their arguments, in the order in which ``--run`` runs them; the last one wants root."""

YARDSTICK = 1.3
"""Milliseconds (``kept.yardstick``) of the machine that figures are brought to: the one on which they were taken at first.

The yardstick is younger; that machine's follows from the linear engine of ``benchmarks.inspect``: 4.91 ms there, 14.4 ms on one
with a yardstick of 3.88 ms.
"""
TIMES, RATES = ("µs", "ms", "ms CPU", "ns", "s"), ("rows", "a CPU second", "a minute")
IN_A_RUN = "observer, in a run, 150 runs learned"
Found = Any
"""A stored result as JSON."""


class Figure(NamedTuple):
    """``read`` takes the figure out of the stored result ``of``; ``most`` or ``least`` is its budget, with ``unit`` behind it."""

    part: str
    what: str
    of: str
    read: Callable[[Found], float]
    unit: str
    most: float | None = None
    least: float | None = None

    def kept(self, value: float) -> bool:
        """Whether the budget is."""
        return (self.most is None or value <= self.most) and (self.least is None or value >= self.least)

    def brought(self, value: float, yardstick: float) -> float:
        """The value as it would be on a machine of ``YARDSTICK``: times and rates scale, sizes and ratios do not."""
        if self.unit in TIMES:
            return value * YARDSTICK / yardstick
        return value * yardstick / YARDSTICK if self.unit in RATES else value

    @property
    def budget(self) -> str:
        """In words."""
        if self.most is not None:
            return f"at most {shown(self.most)} {self.unit}"
        return f"at least {shown(self.least)} {self.unit}" if self.least is not None else ""


def shown(value: float | None) -> str:
    """Three digits of it."""
    return "" if value is None else f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _inspect(action: str) -> Callable[[Found], float]:
    return lambda found: next(
        one["p50_us"] for one in found["figures"] if one["action"] == action and one["entries"] == 100_000
    )


def _call(name: str, key: str) -> Callable[[Found], float]:
    return lambda found: float(found["calls"][name][key])


def _observer(name: str, key: str) -> Callable[[Found], float]:
    return lambda found: float(found["results"][name][key])


def _ours(key: str) -> Callable[[Found], float]:
    return lambda found: float(found["results"]["kaizen"][key])


def _rows(scope: str) -> Callable[[Found], float]:
    return lambda found: next(one["rows_per_cpu_second"] for one in found["results"] if one["scope"] == scope)


def _hook(name: str) -> Callable[[Found], float]:
    return lambda found: float(found["in the kernel"][name]["least"])


def _program(name: str) -> Callable[[Found], float]:
    return lambda found: float(found["programs"][name]["wall"]["agent"]["median ratio"])


def _dearest(found: Found) -> float:
    return max(one["more_us"] for one in found["rows"])


def _worst(key: str, *without: str) -> Callable[[Found], float]:
    return lambda found: max(one[key] for one in found["rows"] if key in one and one["what"] not in without)


FIGURES = (
    Figure("client", "`inspect` of a new host, 100,000 policy entries, p50", "inspect", _inspect("new host"), "µs", 5),
    Figure("client", "the same, blocked", "inspect", _inspect("new, blocked"), "µs", 5),
    Figure("client", "the same, and the look-up in a baseline", "inspect", _inspect("new host, and baseline"), "µs", 5),
    Figure("client", "`inspect` of a repeated action, p50", "inspect", _inspect("repeated"), "µs", 1),
    Figure("client", "`inspect` and its report, p50", "client", _call("inspect and report", "p50_us"), "µs", 5),
    Figure("client", "the same, p99", "client", _call("inspect and report", "p99_us"), "µs", 15),
    Figure("client", "scan of 2 KB for secrets", "client", _call("scan for secrets, 2 KB", "p50_us"), "µs", 50),
    Figure(
        "client",
        "longest stall of ours",
        "client",
        lambda found: max(one["longest_of_ours_ms"] for one in found["stalls"].values()),
        "ms",
        5,
    ),
    Figure(
        "client",
        "import",
        "client",
        lambda found: found["import_ms_cpu"]["import kaizen_security + Kaizen"],
        "ms CPU",
        50,
    ),
    Figure(
        "sidecar",
        "a verdict, 2 KB of arguments, p50",
        "observer",
        _observer("observer, 100 agents", "p50_us"),
        "µs",
        250,
    ),
    Figure("sidecar", "the same, p99", "observer", _observer("observer, 100 agents", "p99_us"), "µs", 1000),
    Figure(
        "sidecar", "the same in a run with 200 KB of results, p50", "observer", _observer(IN_A_RUN, "p50_us"), "µs", 250
    ),
    Figure("sidecar", "the same, p99", "observer", _observer(IN_A_RUN, "p99_us"), "µs", 1000),
    Figure("sidecar", "over its Unix socket, p50", "observer", _observer("sidecar, Unix socket", "p50_us"), "µs", 1000),
    Figure("sidecar", "the same, p99", "observer", _observer("sidecar, Unix socket", "p99_us"), "µs", 3000),
    Figure("control plane", "rows kept, for each second of CPU", "ingest", _rows("observer"), "rows", least=25_000),
    Figure("control plane", "rows judged and kept, for each second of CPU", "ingest", _rows("agent"), "rows"),
    Figure(
        "control plane",
        "slowest console page on 1,000,000 verdicts, p95 of server CPU",
        "console",
        lambda found: max(one["p95_cpu_ms"] for one in found["pages"]),
        "ms",
        150,
    ),
    Figure(
        "MCP",
        "shim: added to a call, p50",
        "mcp",
        lambda found: (
            found["stdio"]["one_at_a_time"]["kaizen"]["p50_ms"] - found["stdio"]["one_at_a_time"]["direct"]["p50_ms"]
        ),
        "ms",
        0.3,
    ),
    Figure(
        "MCP",
        "gateway: a call at 500 a second, p50",
        "mcp",
        lambda found: found["http"]["at_500_calls_a_second"]["kaizen"]["p50_ms"],
        "ms",
        1.5,
    ),
    Figure(
        "MCP", "the same, p99", "mcp", lambda found: found["http"]["at_500_calls_a_second"]["kaizen"]["p99_ms"], "ms", 5
    ),
    Figure(
        "frameworks",
        "an adapter's allowed call in observe mode, beyond the bare run, the dearest one",
        "integrations",
        _dearest,
        "µs",
        50,
    ),
    Figure(
        "frameworks",
        "a verdict over the socket, the slowest adapter's p99",
        "integrations",
        _worst("verdict_p99_ms"),
        "ms",
        3,
    ),
    Figure(
        "frameworks",
        "hook command of coding assistants, wall",
        "integrations",
        lambda found: found["hook"]["hook_wall_ms"],
        "ms",
        50,
    ),
    Figure("egress proxy", "new tunnel, CPU", "proxy", _ours("tunnel_cpu_us"), "µs", 130),
    Figure("egress proxy", "plain request, CPU", "proxy", _ours("request_cpu_us"), "µs", 60),
    Figure(
        "egress proxy", "p50 while the control plane hangs, times normal", "proxy", _ours("hung_p50_ratio"), "", 1.3
    ),
    Figure("egress proxy", "an idle tunnel", "proxy", _ours("idle_tunnel_kb"), "KB", 2),
    Figure("kernel", "connect hook of an agent's process", "kernel", _hook("connect4, agent"), "ns", 1000),
    Figure(
        "kernel",
        "connect hook, a datagram socket's first call",
        "kernel",
        _hook("connect4 of a datagram socket, its first call, to a range of loopback, agent"),
        "ns",
        1000,
    ),
    Figure(
        "kernel",
        "exec hook, in the median",
        "kernel",
        lambda found: found["in the kernel"]["executed, agent"]["median"],
        "ns",
        1000,
    ),
    Figure(
        "kernel",
        "connect of an agent over loopback, times bare",
        "kernel",
        lambda found: found["calls"]["TCP connect"]["agent"]["ratio"],
        "",
        1.03,
    ),
    Figure(
        "kernel",
        "connect of an agent to 0.2 ms away, times bare",
        "kernel",
        lambda found: found["calls"]["TCP connect, 0.2 ms away"]["agent"]["ratio"],
        "",
        1.03,
    ),
    Figure(
        "kernel",
        "git, pip and pytest under it, wall, median of pairs",
        "kernel",
        _program("git, pip, pytest"),
        "",
        1.03,
    ),
    Figure(
        "kernel",
        "an agent's session under it, wall, median of pairs",
        "kernel",
        _program("an agent's session"),
        "",
        1.03,
    ),
    Figure(
        "kernel",
        "events that Python tells of",
        "kernel",
        lambda found: found["reader"]["told, events a CPU second"],
        "a CPU second",
        least=100_000,
    ),
    Figure(
        "kernel",
        "events of a flood that nobody accounts for",
        "kernel",
        lambda found: found["reader"]["read flood: unaccounted"],
        "",
        0,
    ),
    Figure(
        "sandbox",
        "runs on one core",
        "sandbox",
        lambda found: found["speed"]["runs a minute on one core"],
        "a minute",
        least=1000,
    ),
    Figure(
        "sandbox",
        "effect to verdict, longest",
        "sandbox",
        lambda found: found["speed"]["seconds from effect to verdict, longest"],
        "s",
        2,
    ),
    Figure(
        "TypeScript",
        "a new target, 100,000 denied domains, p50",
        "typescript",
        _call("inspectSync, a new target, 100,000 denied domains", "p50"),
        "µs",
        10,
    ),
    Figure("TypeScript", "with its report, p50", "typescript", _call("inspectSync and its report", "p50"), "µs", 5),
    Figure(
        "TypeScript",
        "what an agent loads, gzipped",
        "typescript",
        lambda found: found["package"]["gzipped"] / 1024,
        "KB",
        40,
    ),
    Figure("TypeScript", "what npm downloads", "typescript", lambda found: found["package"]["tarball"] / 1024, "KB"),
    Figure("TypeScript", "import", "typescript", lambda found: found["import"]["cpu_ms"], "ms CPU", 20),
)
INSPECTION_ROWS = {
    "tunnel_cpu_us": "new tunnel, CPU µs",
    "request_cpu_us": "request on a kept connection, CPU µs",
    "json_mb_per_cpu_s": "JSON up, MB for each second of CPU",
    "binary_mb_per_cpu_s": "binary up, MB for each second of CPU",
}


def stored() -> dict[str, Found]:
    """Every stored result by its file's name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}


def table(results: dict[str, Found]) -> Iterator[str]:
    """One row for each figure."""
    yield f"| part | what | measured | at {YARDSTICK:g} ms | budget | |"
    yield "|---|---|---|---|---|---|"
    for one in FIGURES:
        try:
            value = one.read(results[one.of])
        except (KeyError, StopIteration, ValueError):
            yield f"| {one.part} | {one.what} | not stored | | {one.budget} | missing |"
            continue
        brought = one.brought(value, results[one.of]["machine"].get("yardstick_ms", YARDSTICK))
        said = "" if one.most is None and one.least is None else "kept" if one.kept(brought) else "**over**"
        if said == "kept" and not one.kept(value):
            said = "kept, over as measured"
        yield f"| {one.part} | {one.what} | {shown(value)} {one.unit} | {shown(brought)} | {one.budget} | {said} |"


def others(results: dict[str, Found]) -> Iterator[str]:
    """Rows where another program of the same run is better than ours."""
    yield "| what | ours | better |"
    yield "|---|---|---|"
    for name, part, ours, words in (
        ("proxy", "egress proxy", "kaizen", PROXY_ROWS),
        ("inspection", "the proxy with TLS opened, which scans what it sees", "opened", INSPECTION_ROWS),
    ):
        found = results.get(name, {}).get("results", {})
        peers = {peer: one for peer, one in found.items() if peer not in (ours, "direct", "closed")}
        for key, what in words.items():
            mine = found.get(ours, {}).get(key)
            if mine is None or key == "idle_tunnels":
                continue
            less = key.endswith(("_us", "_kb"))
            better = [
                f"{peer} {shown(one[key])}"
                for peer, one in peers.items()
                if key in one and (one[key] < mine if less else one[key] > mine)
            ]
            if better:
                yield f"| {part}: {what} | {shown(mine)} | {', '.join(better)} |"


def soaks(results: dict[str, Found]) -> Iterator[str]:
    """One row for each soak."""
    yield "| soak | how much | seconds | held | what it found |"
    yield "|---|---|---|---|---|"
    for name, one in results.items():
        if name.startswith("soak-"):
            found = one.get("figures") or {"problem": one.get("problem", "")}
            plain = {key: value for key, value in found.items() if not isinstance(value, dict | list)}
            said = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in list(plain.items())[:16])
            held = "yes" if one["held"] else "**no**"
            yield f"| {one['soak']} | {one['amount']:,} | {one['seconds']:,.0f} | {held} | {said.replace('|', '/')[:400]} |"


def sources(results: dict[str, Found]) -> Iterator[str]:
    """Where each result is from."""
    yield "| result | command | commit | when | load | yardstick, ms |"
    yield "|---|---|---|---|---|---|"
    for name, one in results.items():
        about = one["machine"]
        command = one.get("command") or f"make soak NAMES={one['soak']}"
        measured = f"{about['load'][0]:.1f} | {about.get('yardstick_ms', '')}"
        yield f"| {name} | `{command}` | {one['commit']} | {str(one.get('at', ''))[:16]} | {measured} |"


def page(results: dict[str, Found]) -> str:
    """The whole page."""
    kept = list(table(results))
    slow = sum("over as measured" in line for line in kept)
    over = sum("**over**" in line for line in kept)
    missing = sum("| missing |" in line for line in kept)
    return "\n".join(
        [
            "# Figures",
            "",
            "Figures of speed and size, each beside its budget.",
            "`make figures` measures all of them again and writes this page.",
            "`python -m benchmarks.figures` only writes it, of what is stored in `benchmarks/results/`.",
            "[Detection](../explanation/detection-figures.md), [the proxy beside its peers](proxy-figures.md), "
            "[the kernel rung](kernel-figures.md) and [the sandbox](sandbox-figures.md) have pages of their own.",
            "",
            f"Of {len(FIGURES)} figures {over} are over their budget, {slow} more only as measured, and {missing} are not stored.",
            "Rates move by half on a busy machine, and machines differ: beside each result is how busy its machine was, and its "
            "yardstick, the milliseconds that it took for a fixed piece of plain Python (`yardstick` in `benchmarks/kept.py`). "
            f"The column *at {YARDSTICK:g} ms* has times and rates brought to a machine of that yardstick, where they were taken "
            "at first. That is a rule of three and no measurement: what waits for a disk or another process does not follow it.",
            "Peers and floors of the same run need no such rule.",
            "",
            *kept,
            "",
            "## Where others are better",
            "",
            "In the same run, on the same machine.",
            "",
            *others(results),
            "",
            "## Soaks",
            "",
            *soaks(results),
            "",
            "## Where they are from",
            "",
            *sources(results),
            "",
        ]
    )


def pictures(results: dict[str, Found]) -> dict[str, str]:
    """Every picture of stored results in ``docs/images``, by its name."""
    drawn = proxy_page.charts(results["proxy"]) if "proxy" in results else {}
    return drawn | ({"week": week_page.chart(results["soak-week"])} if "soak-week" in results else {})


def main() -> int:
    """Measure where asked, and write the page; 1 when a benchmark did not come to its end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", action="store_true", help="measure everything first")
    worst = 0
    if parser.parse_args().run:
        for number, command in enumerate(COMMANDS, 1):
            print(f"== {number} of {len(COMMANDS)}: python -m {command}", flush=True)
            # A budget that is missed is a figure like any other; only a crash leaves none.
            status = subprocess.run([sys.executable, "-m", *command.split()], cwd=ROOT).returncode
            worst = max(worst, status if status > 1 else 0)
    PAGE.write_text(page(stored()))
    for name, drawn in pictures(stored()).items():
        (IMAGES / f"{name}.svg").write_text(drawn)
    print(f"{PAGE.relative_to(ROOT)} is written, and its pictures")
    return min(worst, 1)


if __name__ == "__main__":
    sys.exit(main())
