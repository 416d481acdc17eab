"""Bars as SVG, without any library. The ground is white, so that the words can be read on a dark page too."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple


class Bar(NamedTuple):
    """``shown`` stands behind it; ``ours`` is in our colour."""

    name: str
    value: float
    shown: str
    ours: bool = True


def bars(title: str, found: Sequence[Bar]) -> str:
    """One bar a line, the longest across the picture."""
    most = max(one.value for one in found) or 1.0
    height = 34 + 26 * len(found)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 620 {height}" role="img" aria-label="{escape(title)}">',
        "<style>text{font:13px sans-serif;fill:#444}.title{font-weight:bold}.ours{fill:#0a7d5a}.other{fill:#9aa5b1}</style>",
        f'<rect width="620" height="{height}" fill="#fff"/>',
        f'<text x="8" y="18" class="title">{escape(title)}</text>',
    ]
    for row, one in enumerate(found):
        y, wide = 30 + 26 * row, 420 * one.value / most
        kind = "ours" if one.ours else "other"
        lines.append(f'<text x="84" y="{y + 14}" text-anchor="end">{escape(one.name)}</text>')
        lines.append(f'<rect class="{kind}" x="92" y="{y}" width="{max(1.0, wide):.1f}" height="19"/>')
        lines.append(f'<text x="{98 + wide:.1f}" y="{y + 14}">{escape(one.shown)}</text>')
    return "\n".join([*lines, "</svg>"]) + "\n"
