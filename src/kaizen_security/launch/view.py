"""``kaizen run --tui``: what the agent does and what is said of it, as it happens. The agent's own words go to a file meanwhile.

Drawn with rich, which is loaded only here; a terminal program that takes keys would be more than is looked at.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING

from kaizen_security.contract.action import Action
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.contract.verdict import Verdict

if TYPE_CHECKING:
    from rich.console import Group

ROWS = 24
"""Newest actions that are shown."""
TURN = 0.25
"""Seconds between two drawings, however much happens."""


class View:
    """Give it actions from any thread; ``close`` leaves the last picture on the screen. Raises Misconfigured without rich."""

    def __init__(self, agent: str, output: str) -> None:
        try:
            from rich.live import Live
        except ImportError as err:
            raise Misconfigured("--tui draws with rich: pip install '.[demo]' in the checkout") from err
        self._title = f"{agent} (its output: {output})"
        self._rows: deque[tuple[str, str, str, str]] = deque(maxlen=ROWS)
        self._counts: Counter[str] = Counter()
        self._stopping = threading.Event()
        self._live = Live(self._drawn(), auto_refresh=False, transient=False)
        self._live.start()
        self._thread = threading.Thread(target=self._work, name="view", daemon=True)
        self._thread.start()

    def report(self, action: Action, verdict: Verdict) -> None:
        """One more."""
        self._counts[f"{action.kind} {'refused' if verdict.blocked else 'seen'}"] += 1
        at = time.strftime("%H:%M:%S", time.localtime(action.at))
        why = verdict.reason[:60] if verdict.blocked else ""
        self._rows.append((at, action.kind, _plain(action.target[:80]), _plain(why)))

    def _work(self) -> None:
        while not self._stopping.wait(TURN):
            self._live.update(self._drawn(), refresh=True)

    def _drawn(self) -> Group:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table("time", "kind", "target", "refused because", title=self._title, expand=True, title_justify="left")
        for at, kind, target, why in list(self._rows):
            style = "red" if why else ""
            table.add_row(at, kind, Text(target), Text(why), style=style)
        counted = ", ".join(f"{n} {name}" for name, n in sorted(self._counts.items()))
        return Group(table, Text(counted or "nothing yet"))

    def close(self) -> None:
        """The last picture stays."""
        self._stopping.set()
        self._thread.join(2.0)
        self._live.update(self._drawn(), refresh=True)
        self._live.stop()


def _plain(text: str) -> str:
    # An agent chooses the names of files; rich hands ESC and the controls of U+0080 to U+009F on to the terminal.
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
