"""What is reported to the control plane of one agent after another, so that people see it where they look; no actions.

What cannot be reported now is reported at the next turn.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from urllib.parse import quote

from kaizen_security.client.http import Connection
from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import KaizenError, Refused

log = logging.getLogger(__name__)

DEADLINE = 5.0


class Reporting:
    """``what`` is the last part of ``/v1/agents/{agent}/{what}``; ``admit`` raises when nothing may be reported."""

    def __init__(
        self, what: str, *, api_url: str, api_key: str, sidecar: str, admit: Callable[[Connection], None]
    ) -> None:
        self.enabled = bool(api_key)
        self._what = what
        self._api_url = api_url
        self._headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
        self._sidecar = sidecar
        self._admit = admit

    def report(self, due: Iterable[tuple[str, Callable[[], dict[str, Json]]]], reported: Callable[[str], None]) -> int:
        """Report of each agent that is due what its function gives; of how many the control plane wanted it.

        ``reported`` is called with each agent that is dealt with. Blocks, up to DEADLINE seconds when nobody answers.
        """
        wanted = 0
        connection = Connection(self._api_url)
        try:
            for agent, said in due:
                self._admit(connection)
                wanted += self._one(connection, agent, {"sidecar": self._sidecar, **said()})
                reported(agent)
        except KaizenError as err:
            log.debug("%s is reported later: %s", self._what, err)
        finally:
            connection.close()
        return wanted

    def _one(self, connection: Connection, agent: str, document: Json) -> bool:
        """False: the control plane does not want it (it knows no such agent, or is older than this)."""
        path = f"/v1/agents/{quote(agent, safe='')}/{self._what}"
        try:
            connection.json("POST", path, document, self._headers, DEADLINE, idempotent=True)
        except Refused as err:
            log.debug("%s is not wanted: %s", self._what, err)
            return False
        return True
