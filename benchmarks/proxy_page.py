"""What ``docs/reference/proxy-figures.md`` quotes of ``benchmarks.proxy``, and its charts."""

from __future__ import annotations

from typing import Any

from benchmarks.bars import Bar, bars
from benchmarks.kept import ROOT, conditions, quoted

PAGE = "docs/reference/proxy-figures.md"
ORDER = ("direct", "kaizen", "tinyproxy", "squid", "envoy", "mitmproxy")
ROWS = {
    "tunnel_cpu_us": "new CONNECT tunnel, CPU µs",
    "tunnels_per_s": "new tunnels a second, 32 at a time",
    "tunnel_p50_us": "a tunnel, one at a time, p50 µs",
    "request_cpu_us": "plain request on a kept connection, CPU µs",
    "request_us": "the same, by the clock, µs",
    "bulk_gb_per_cpu_s": "one tunnel, GB for each second of CPU",
    "bulk_gb_per_s": "one tunnel, GB/s by the clock",
    "bulk_64_gb_per_cpu_s": "64 tunnels, GB for each second of CPU",
    "bulk_64_gb_per_s": "64 tunnels, GB/s by the clock",
    "idle_tunnel_kb": "an idle tunnel, KB",
    "idle_tunnels": "idle tunnels held for that",
    "hung_p50_ratio": "p50 while the control plane hangs, times normal",
}
CHARTS = {
    "proxy-tunnel-cpu": ("tunnel_cpu_us", "CPU of a new tunnel, µs (less is better)"),
    "proxy-request-cpu": ("request_cpu_us", "CPU of a plain request, µs (less is better)"),
    "proxy-bulk": ("bulk_gb_per_cpu_s", "One tunnel, GB for each second of CPU (more is better)"),
    "proxy-idle": ("idle_tunnel_kb", "An idle tunnel, KB (less is better)"),
}


def table(found: dict[str, Any]) -> list[str]:
    """Rows of figures, columns of proxies."""
    results = found["results"]
    names = [name for name in ORDER if name in results]
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for key, what in ROWS.items():
        values = [results[name].get(key) for name in names]
        if any(value is not None for value in values):
            lines.append(f"| {what} | " + " | ".join("" if value is None else _shown(value) for value in values) + " |")
    return lines


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def charts(document: dict[str, Any]) -> dict[str, str]:
    """Each picture by its name."""
    results = document["results"]
    return {
        name: bars(
            title,
            [
                Bar(proxy, results[proxy][key], _shown(results[proxy][key]), proxy == "kaizen")
                for proxy in ORDER
                if key in results.get(proxy, {})
            ],
        )
        for name, (key, title) in CHARTS.items()
        if any(key in found for found in results.values())
    }


def write(document: dict[str, Any]) -> None:
    """Renew the page from the stored figures; ``benchmarks.figures`` draws the charts."""
    page = ROOT / PAGE
    lines = [f"`{document['command']}`: {conditions(document)}", "", *table(document)]
    if document["skipped"]:
        lines += ["", f"Not installed there: {', '.join(document['skipped'])}."]
    page.write_text(quoted(page.read_text(), "proxy", lines))
