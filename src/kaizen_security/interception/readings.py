"""What the agents have read and must be careful with, as their sidecar tells it: fingerprints, kept up to date by long-poll."""

from __future__ import annotations

import json
import logging
import threading
from urllib.parse import quote

from kaizen_security.client.http import Connection
from kaizen_security.contract.errors import InvalidInput, KaizenError
from kaizen_security.interception.documents import Documents, from_json

MOST_AGENTS = 16
WAIT = 20.0
BACKOFF = 2.0

log = logging.getLogger(__name__)


class Readings:
    """Asks the sidecar at ``url``, each agent on a thread of its own. Beyond ``MOST_AGENTS`` they are left out, and counted."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._known: dict[str, Documents] = {}
        self.left_out = 0

    def of(self, agent: str) -> Documents:
        """What is known by now. Asks from now on."""
        known = self._known.get(agent)
        if known is not None:
            return known
        if len(self._known) >= MOST_AGENTS:
            self.left_out += 1
            return _NOTHING
        self._known[agent] = _NOTHING
        threading.Thread(target=self._ask, args=(agent,), name=f"readings-{agent}", daemon=True).start()
        return _NOTHING

    def _ask(self, agent: str) -> None:
        connection = Connection(self._url)
        version, trouble = "", ""
        pause = threading.Event()
        while True:
            path = f"/v1/readings?agent={quote(agent, safe='')}&version={version}&wait={WAIT:g}"
            try:
                status, _, body = connection.request("GET", path, None, self._headers, WAIT + 10.0)
                if status == 200:
                    document = json.loads(body)
                    self._known[agent] = from_json(document)
                    version = quote(str(document["version"]), safe="")
                elif status != 304:
                    raise InvalidInput("readings", f"the sidecar answers {status}")
            except (KaizenError, OSError, ValueError, KeyError, TypeError) as err:
                if str(err) != trouble:
                    log.warning("what %s has read is not known: %s", agent, err)
                trouble = str(err)
                pause.wait(BACKOFF)
            else:
                trouble = ""


_NOTHING = Documents()
