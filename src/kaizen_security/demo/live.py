"""The live terminal of ``kaizen up``: a calm picture while things happen, lines for what somebody should look at."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.live import Live as Picture
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from kaizen_security.contract.action import Json
from kaizen_security.demo.account import Row, Scorecard
from kaizen_security.demo.view import card_lines, deed, rung, shown, up_lines, word

_COLOURS = {"block": "bold red", "flag": "bold yellow", "allow": "green"}


class Live:
    """A view for a terminal that people look at."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._picture: Picture | None = None
        self._phase = ("", 0, 1, 0)
        self._last: Row | None = None

    def say(self, text: str) -> None:
        """A line for people."""
        self._console.print(Text(text))

    def started(self, name: str, address: str) -> None:
        """A part can be used now."""
        self._console.print(Text.assemble(("  ✓ ", "green"), f"{name:<16} ", (address, "cyan")))

    def secret(self, **values: str) -> None:
        """Shown this once."""
        for name, value in values.items():
            self._console.print(Text.assemble(f"  {name.replace('_', ' '):<18} ", (value, "bold")))

    def progress(self, phase: str, done: int, total: int, actions: int) -> None:
        """Moves the bar."""
        self._phase = (phase, done, total, actions)
        self._draw()

    def verdict(self, row: Row, note: str = "") -> None:
        """What was flagged or blocked stays as a line; the rest passes by under the bar."""
        self._last = row
        if not row.silent:
            self._console.print(_line(row))
            if note:
                self._console.print(Text(f"         {note}", style="dim"))
        self._draw()

    def scorecard(self, card: Scorecard, summary: Mapping[str, Json]) -> None:
        """The end of the demonstration."""
        self.close()
        style = "green" if card.good else "red"
        self._console.print(
            Panel(Text("\n".join(card_lines(card))), title="scorecard", border_style=style, expand=False)
        )

    def up(self, *, console: str, sign_in: str, environment: str) -> None:
        """How to go on."""
        for line in up_lines(console, sign_in, environment):
            # Not folded: a link must stay one word.
            self._console.print(Text(line), soft_wrap=True)

    def close(self) -> None:
        """Take the picture down."""
        if self._picture is not None:
            self._picture.stop()
            self._picture = None

    def _draw(self) -> None:
        if self._picture is None:
            self._picture = Picture(console=self._console, refresh_per_second=8, transient=True)
            self._picture.start()
        phase, done, total, actions = self._phase
        table = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=max(total, 1), completed=done, width=40)
        table.add_row(f"{phase:<22}", bar, f"{done}/{total}", f"{actions} verdicts")
        picture = Table.grid()
        picture.add_row(table)
        if self._last is not None:
            picture.add_row(_line(self._last, dim=True))
        self._picture.update(picture)


def _line(row: Row, *, dim: bool = False) -> Text:
    line = Text.assemble(
        (f"  {word(row).upper():<6}", "dim" if dim else _COLOURS[word(row)]),
        (f"{rung(row.rung):<29}", "dim" if dim else "magenta"),
        (f"{deed(row)}  ", "dim" if dim else ""),
        (shown(row.reason), "dim"),
    )
    # One that passes by must not make the picture jump.
    line.no_wrap = dim
    line.overflow = "ellipsis" if dim else "fold"
    return line
