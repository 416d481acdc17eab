"""Book: whose session is whose, on disk, so that a gateway that is started anew still knows it and nobody has to initialise again.

Kept are hashes only, of agent, server and session together: they say whether a session is this agent's, and open none.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress

from kaizen_security.client.files import write_whole

MAX = 10_000
"""Sessions that are known after a start; the newest ones."""


class Book:
    """``sessions`` in ``folder``; without a folder nothing is kept. A disk that takes nothing costs only what it is for.

    A line is a session that was opened, or with a minus before it one that was ended.
    """

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, "sessions") if folder else ""
        self._known = self._read()
        self._noted = 0
        self._write_anew(self._known)

    def opened(self, agent: str, server: str, session: str) -> None:
        """Remember it."""
        self._note(_mark(agent, server, session))

    def ended(self, agent: str, server: str, session: str) -> None:
        """Forget it."""
        mark = _mark(agent, server, session)
        self._known.pop(mark, None)
        self._note("-" + mark)

    def knows(self, agent: str, server: str, session: str) -> bool:
        """Whether it was this agent's before this process was started."""
        return _mark(agent, server, session) in self._known

    def _read(self) -> dict[str, None]:
        found: dict[str, None] = {}
        with suppress(OSError), open(self._path, encoding="ascii", errors="replace") as file:
            for line in file:
                mark = line.strip()
                if mark.startswith("-"):
                    found.pop(mark[1:], None)
                elif len(mark) == 64:
                    found[mark] = None
        return dict.fromkeys([*found][-MAX:])

    def _write_anew(self, known: dict[str, None]) -> None:
        if not os.path.exists(self._path):
            return
        with suppress(OSError):
            write_whole(self._path, "".join(mark + "\n" for mark in known).encode())

    def _note(self, line: str) -> None:
        if not self._path:
            return
        with suppress(OSError):
            os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
            with open(
                os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a", encoding="ascii"
            ) as file:
                file.write(line + "\n")
        self._noted += 1
        if self._noted >= MAX:
            # So that the file stays small also where the process runs for months.
            self._noted = 0
            self._write_anew(self._read())


def _mark(agent: str, server: str, session: str) -> str:
    # Lengths before the parts, so that no two triples are written alike.
    return hashlib.sha256("".join(f"{len(part)}:{part}" for part in (agent, server, session)).encode()).hexdigest()
