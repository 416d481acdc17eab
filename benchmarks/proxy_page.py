"""What ``docs/reference/proxy-figures.md`` quotes of ``benchmarks.proxy``, and its charts."""

from __future__ import annotations

from typing import Any

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


def chart(results: dict[str, dict[str, float]], key: str, title: str) -> str:
    """Bars as SVG."""
    bars = [(name, results[name][key]) for name in ORDER if key in results.get(name, {})]
    most = max(value for _, value in bars) or 1.0
    height = 34 + 26 * len(bars)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 620 {height}" role="img" aria-label="{title}">',
        "<style>text{font:13px sans-serif;fill:#444}.ours{fill:#0a7d5a}.other{fill:#9aa5b1}</style>",
        f'<text x="0" y="16" font-weight="bold">{title}</text>',
    ]
    for row, (name, value) in enumerate(bars):
        y = 30 + 26 * row
        kind = "ours" if name == "kaizen" else "other"
        lines.append(f'<text x="84" y="{y + 14}" text-anchor="end">{name}</text>')
        lines.append(f'<rect class="{kind}" x="92" y="{y}" width="{max(1.0, 440 * value / most):.1f}" height="19"/>')
        lines.append(f'<text x="{98 + 440 * value / most:.1f}" y="{y + 14}">{_shown(value)}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"


def write(document: dict[str, Any]) -> None:
    """Renew page and charts from the stored figures."""
    page = ROOT / PAGE
    lines = [f"`{document['command']}`: {conditions(document)}", "", *table(document)]
    if document["skipped"]:
        lines += ["", f"Not installed there: {', '.join(document['skipped'])}."]
    page.write_text(quoted(page.read_text(), "proxy", lines))
    for name, (key, title) in CHARTS.items():
        if any(key in found for found in document["results"].values()):
            (ROOT / "docs/images" / f"{name}.svg").write_text(chart(document["results"], key, title))
