"""The code blocks of a page, as the tests run them.

A fenced block tagged ``bash``, ``console`` (its lines that begin with ``$ ``; the rest is output) or ``python`` runs, unless the
line above it is ``<!-- not run: REASON -->``. One tagged ``javascript`` runs in ``tests/e2e/typescript``. Blocks tagged ``json``
and ``toml`` are parsed; ``text`` is for output. Anything else is an error, so that no block escapes by a typing mistake.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+?) -->\n)?^```(?P<tag>[a-z]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL
)
RUN = ("bash", "console", "python")
ELSEWHERE = ("javascript",)
PARSED = ("json", "toml")
SHOWN = ("text", "mermaid", "yaml", "ini", "diff", "html")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """``line`` is where it starts in its page; ``reason`` says why it is not run, empty when it is."""

    page: Path
    line: int
    tag: str
    body: str
    reason: str


def blocks(page: Path) -> list[Block]:
    """Every fenced block of a Markdown page, in order."""
    text = page.read_text()
    return [
        Block(
            page=page,
            line=text.count("\n", 0, match.start()) + 1,
            tag=match["tag"],
            body=match["body"],
            reason=match["reason"] or "",
        )
        for match in FENCE.finditer(text)
    ]
