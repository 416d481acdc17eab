"""The kill switch: a file. While it is there, nothing passes, or nothing of the agents that it names, one a line.

A file needs no running control plane, no key and no restart: ``touch`` stops everything within half a second.
"""

from __future__ import annotations

import logging
from pathlib import Path

from kaizen_security.contract import reasons
from kaizen_security.contract.finding import Finding
from kaizen_security.egress.rules import Refusal

MAX_FILE = 1 << 20

log = logging.getLogger(__name__)


class KillSwitch:
    """``stopped`` holds agents, ``everybody`` stops all. A file that cannot be read stops everybody."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: object = None
        self.everybody = False
        self.stopped: frozenset[str] = frozenset()

    def look(self) -> bool:
        """Look whether the file has come, gone or changed; True when it has."""
        try:
            about = self._path.stat()
            seen: object = (about.st_mtime_ns, about.st_ino, about.st_size)
        except FileNotFoundError:
            seen = None
        except OSError as err:
            seen = err.errno
        if seen == self._seen:
            return False
        self._seen = seen
        self.everybody, self.stopped = (False, frozenset()) if seen is None else self._read()
        log.warning("the kill switch is %s", "off" if seen is None else f"on: {self._path}")
        return True

    def _read(self) -> tuple[bool, frozenset[str]]:
        try:
            with self._path.open("rb") as file:
                said = file.read(MAX_FILE + 1)
            names = frozenset(line.strip() for line in said.decode().splitlines() if line.strip())
        except (OSError, ValueError):
            return True, frozenset()
        return not names or len(said) > MAX_FILE, names

    def stops(self, agent: str) -> bool:
        """Whether nothing of that agent may pass."""
        return self.everybody or agent in self.stopped


def killed(target: str) -> Refusal:
    """What is said of a connection while the switch is on."""
    finding = Finding(
        kind="kill switch",
        value=target,
        source="egress",
        detection="egress-kill-switch",
        field="target",
        advice="The owner of the proxy has stopped this agent's traffic; it goes on when the kill switch is taken away.",
    )
    return Refusal(
        code="kill-switch",
        reason=reasons.blocked_by_policy([finding.kind]),
        advice=finding.advice,
        evidence=(finding,),
    )
