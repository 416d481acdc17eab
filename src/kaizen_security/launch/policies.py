"""The agent's declaration and policies, from sidecar or control plane: once before the agent starts, then whenever they change."""

from __future__ import annotations

import threading
from collections.abc import Callable
from urllib.parse import quote

from kaizen_security.client.http import Connection
from kaizen_security.contract.bundle import MAX_BUNDLE, Bundle, key_hash, signing_key, unseal
from kaizen_security.contract.errors import KaizenError, Refused
from kaizen_security.launch.clock import now

DEADLINE = 3.0
"""Seconds that the first answer may take: the agent waits for it."""
TURN = 5.0
"""Seconds between two looks."""


class Policies:
    """``changed`` is called, from the thread, with every new bundle. Raises nothing: ``trouble`` says why none came."""

    def __init__(self, url: str, api_key: str, agent: str, changed: Callable[[Bundle], None]) -> None:
        self._connection = Connection(url, max_bytes=MAX_BUNDLE)
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._key = signing_key(key_hash(api_key))
        self._path = f"/v1/bundle?agent={quote(agent, safe='')}"
        self._agent = agent
        self._changed = changed
        self._etag = ""
        self._newest = 0
        self.trouble = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="policies", daemon=True)

    def first(self) -> Bundle | None:
        """What is in force now; None when nobody can say (``trouble``)."""
        try:
            return self._fetch()
        except (KaizenError, OSError) as err:
            self.trouble = str(err)
            return None

    def start(self) -> None:
        """Look again from time to time."""
        self._thread.start()

    def stop(self) -> None:
        """No more looks."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(DEADLINE + 1)
        self._connection.close()

    def _work(self) -> None:
        while not self._stopping.wait(TURN):
            try:
                found = self._fetch()
                if found is not None:
                    self._changed(found)
                self.trouble = ""
            except (KaizenError, OSError) as err:
                self.trouble = str(err)

    def _fetch(self) -> Bundle | None:
        headers = {**self._headers, "If-None-Match": self._etag} if self._etag else self._headers
        status, answered, body = self._connection.request("GET", self._path, headers=headers, deadline=DEADLINE)
        if status == 304:
            return None
        if status != 200:
            raise Refused(f"the bundle is refused with {status}", status=status)
        bundle = unseal(body, self._key, agent=self._agent, now=now(), newest=self._newest)
        self._newest = bundle.version
        etag = answered.get("etag", "")
        self._etag = etag if len(etag) <= 256 and etag.isascii() and etag.isprintable() else ""
        return bundle
