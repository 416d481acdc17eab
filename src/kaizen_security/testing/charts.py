"""A chart of detection against false flags, as SVG, without any library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

WIDTH, HEIGHT, LEFT, TOP, MOST = 640, 400, 60, 40, 0.10
COLOURS = ("#1f6feb", "#d1570a", "#1a7f37", "#8250df", "#9a6700", "#57606a")


def roc(title: str, curves: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """One line a name; false flags from 0 to 10 % to the right, detection from 0 to 100 % upwards."""
    wide, high = WIDTH - LEFT - 150, HEIGHT - TOP - 50

    def at(x: float, y: float) -> str:
        return f"{LEFT + min(x, MOST) / MOST * wide:.1f},{TOP + (1 - y) * high:.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="14">{escape(title)}</text>',
    ]
    for i in range(6):
        y = TOP + high * i / 5
        x = LEFT + wide * i / 5
        parts.append(f'<line x1="{LEFT}" x2="{LEFT + wide}" y1="{y:.1f}" y2="{y:.1f}" stroke="#d0d7de"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{100 - 20 * i} %</text>')
        parts.append(f'<text x="{x:.1f}" y="{TOP + high + 18}" text-anchor="middle">{2 * i} %</text>')
    parts.append(f'<text x="{LEFT + wide / 2:.0f}" y="{HEIGHT - 12}" text-anchor="middle">harmless runs flagged</text>')
    for i, (name, points) in enumerate(curves.items()):
        colour = COLOURS[i % len(COLOURS)]
        line = " ".join(at(x, y) for x, y in points if x <= MOST)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        y = TOP + 20 + 20 * i
        parts.append(f'<rect x="{LEFT + wide + 14}" y="{y - 9}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{LEFT + wide + 32}" y="{y + 2}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])
