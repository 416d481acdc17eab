"""Beat: says every 30 seconds that the attach points of this process are there, and says goodbye at the end."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from kaizen_security.client import own
from kaizen_security.client.http import Connection
from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import KaizenError

if TYPE_CHECKING:
    from kaizen_security.client.link import Link

EVERY = 30.0
"""Seconds between two signs of life."""
DEADLINE = 2.0
GOODBYE = 0.5
"""Seconds that a process which ends waits for its goodbye to be taken."""


class Beat:
    """One thread for one client, started by its first attach point; a fork begins anew, as a process of its own."""

    def __init__(self, link: Link, agent: str, process: str) -> None:
        self._link = link
        self._agent = agent
        self.process = process
        self._sources: dict[str, None] = {}
        self._reset()

    def _reset(self) -> None:
        self._wake = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopped = False

    def attached(self, source: str) -> None:
        """There is an attach point for that feed."""
        if source not in self._sources:
            self._sources[source] = None
            self._wake.set()
        self.wake()

    def wake(self) -> None:
        """Go on in a thread of our own, if there is anything to say. Again after a fork."""
        if not self._sources or self._stopped or self._thread is not None:
            return
        with self._starting:
            if self._thread is None:
                thread = own.thread(self._work, "kaizen-beat")
                if own.start(thread):
                    self._thread = thread

    def _work(self) -> None:
        while not self._stopped:
            self._wake.clear()
            self._say(DEADLINE, leaving=False)
            self._wake.wait(EVERY)

    def _say(self, within: float, *, leaving: bool) -> None:
        points: list[Json] = [{"source": source} for source in list(self._sources)]
        said: Json = {"agent": self._agent, "process": self.process, "points": points, "leaving": leaving}
        connection = Connection(self._link.url)
        try:
            connection.json("POST", "/v1/heartbeats", said, self._link.headers, within, idempotent=True)
        except KaizenError:
            pass  # that is what silence means
        finally:
            connection.close()

    def stop(self) -> None:
        """Say goodbye, if anything was said."""
        if self._stopped:
            return
        self._stopped = True
        self._wake.set()
        if self._thread is not None:
            self._say(GOODBYE, leaving=True)

    def after_fork(self, process: str) -> None:
        """In the child: another process, whose thread is to be started."""
        stopped = self._stopped
        self._reset()
        self._stopped = stopped
        self.process = process
