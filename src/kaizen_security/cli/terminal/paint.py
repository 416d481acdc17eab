"""Colour where it is wanted, and text that cannot drive the terminal that it is read on."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from time import perf_counter
from typing import TextIO

RED, YELLOW, GREEN, DIM, BOLD, OFF = "\x1b[31m", "\x1b[33m", "\x1b[32m", "\x1b[2m", "\x1b[1m", "\x1b[0m"


def wants_colour(out: TextIO) -> bool:
    """A terminal, and nobody who asked for none (no-color.org)."""
    return out.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def painted(text: str, paint: str, colour: bool) -> str:
    """``text`` in a colour, or as it is."""
    return f"{paint}{text}{OFF}" if colour else text


def plain(text: str) -> str:
    """What an agent wrote must not drive the terminal that it is read on: what cannot be printed is shown by its number."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def told(err: Exception) -> str:
    """What an error says, in its lines: a server's own words may be in it."""
    return "\n".join(map(plain, str(err).splitlines()))


def json_text(document: object, *, indent: int | None = None, default: Callable[[object], object] | None = None) -> str:
    """A document for machines that may yet be read on a terminal: what is not printable in it is escaped (RFC 8259, section 7).

    JSON has to escape only what is below U+0020; the controls of U+0080 to U+009F drive terminals too, and others turn text around.
    """
    text = json.dumps(document, ensure_ascii=False, indent=indent, default=default)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def shortened(text: str, width: int) -> str:
    """At most ``width`` characters, the last of them an ellipsis where something was left out."""
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


class Progress:
    """On a terminal, twice a second: how far a long work is. Elsewhere nothing."""

    def __init__(self) -> None:
        self._shows = sys.stderr.isatty()
        self._began = self._told = perf_counter()
        self._shown = False

    @property
    def seconds(self) -> float:
        """Since it began."""
        return perf_counter() - self._began

    def at(self, count: int, what: str = "actions") -> None:
        """So many are done."""
        if not self._shows:
            return
        now = perf_counter()
        if now - self._told > 0.5:
            self._told, self._shown = now, True
            print(f"\r{count:,} {what}, {now - self._began:.0f} s ", end="", file=sys.stderr, flush=True)

    def done(self) -> None:
        """Take the line away again."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
