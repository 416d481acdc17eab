"""Manifest: the declaration on its way to whoever judges by it, tried again in the background until it is taken."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from kaizen_security.client import own
from kaizen_security.client.http import Connection
from kaizen_security.contract.action import Json
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.errors import KaizenError, Refused

DEADLINE = 3.0
"""Seconds for one attempt."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0


class Manifest:
    """``refused`` counts declarations that the other side said no to; those are not sent again."""

    def __init__(self, upstream: str, *, agent: str, headers: Mapping[str, str]) -> None:
        self.refused = 0
        self._upstream = upstream
        self._agent = agent
        self._headers = headers
        self._waiting: dict[str, Json] | None = None
        self._reset()

    def _reset(self) -> None:
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    @property
    def waiting(self) -> bool:
        """One is still to be delivered."""
        return self._waiting is not None

    def declare(self, declared: Declaration) -> bool:
        """Send it; true when it was taken. Else, unless it was refused, it is sent again until it is or ``stop``."""
        manifest: dict[str, Json] = {"tools": list(declared.tools), "destinations": list(declared.destinations)}
        if declared.purpose:
            manifest["purpose"] = declared.purpose
        if declared.data:
            manifest["data"] = list(declared.data)
        if not self._upstream:
            return False
        self._waiting = manifest
        taken = self.deliver()
        self.wake()
        return taken

    def deliver(self) -> bool:
        """Send the one that waits, if one does; false when it was not taken."""
        manifest = self._waiting
        if manifest is None:
            return True
        from urllib.parse import quote

        connection = Connection(self._upstream)
        path = f"/v1/agents/{quote(self._agent, safe='')}/manifest"
        taken = True
        try:
            connection.json("POST", path, manifest, self._headers, DEADLINE, idempotent=True)
        except Refused as err:
            if err.status >= 500 or err.status in (401, 403, 429):
                return False  # a key may be mended while we run
            self.refused += 1
            taken = False
        except KaizenError:
            return False
        finally:
            connection.close()
        if self._waiting is manifest:
            self._waiting = None
        return taken

    def wake(self) -> None:
        """Go on in a thread of our own, if something waits. Again after a fork."""
        if self._waiting is None or self._stop.is_set():
            return
        with self._starting:
            if self._thread is not None and self._thread.is_alive():
                return
            thread = own.thread(self._work, "kaizen-declare")
            if own.start(thread):
                self._thread = thread

    def _work(self) -> None:
        pause = FIRST_PAUSE
        while not self._stop.wait(pause):
            if self.deliver() or self._waiting is None:
                return
            pause = min(pause * 2, LONGEST_PAUSE)

    def stop(self) -> None:
        """Try no more."""
        self._stop.set()

    def after_fork(self) -> None:
        """In the child: threads and whoever held a lock are gone."""
        stopped = self._stop.is_set()
        self._reset()
        if stopped:
            self._stop.set()
