"""What was learned of each agent here, told to the control plane, so that people see it where they look.

In boundary form, like everything that leaves; once a minute and when the sidecar ends, of agents of which something was learned
since. What cannot be told now is told a minute later: it is a picture, and no report.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from urllib.parse import quote

from kaizen_security.client.http import Connection
from kaizen_security.contract.action import Json
from kaizen_security.contract.boundary import outward_learned
from kaizen_security.contract.errors import KaizenError, Refused
from kaizen_security.runtime.inspector import Inspector

log = logging.getLogger(__name__)

SECONDS = 60.0
"""Between two looks."""
DEADLINE = 5.0


class Profiles:
    """Of one sidecar, named ``sidecar``. ``admit`` raises when the control plane may not be told anything."""

    def __init__(
        self,
        *,
        api_url: str,
        api_key: str,
        sidecar: str,
        boundary: bytes,
        inspector: Inspector,
        admit: Callable[[Connection], None],
    ) -> None:
        self.enabled = bool(api_key)
        self._api_url = api_url
        self._headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
        self._sidecar = sidecar
        self._boundary = boundary
        self._inspector = inspector
        self._admit = admit
        self._told: dict[str, int] = {}

    def tell(self) -> int:
        """Tell what is new; how many agents it was of. Blocks, up to DEADLINE seconds when nobody answers."""
        if not self.enabled:
            return 0
        changed = [
            (key.agent, lane.observer.baseline.seen)
            for key, lane in self._inspector.agents
            if lane.observer.baseline.seen != self._told.get(key.agent, 0)
        ]
        told = 0
        connection = Connection(self._api_url)
        try:
            for agent, seen in changed:
                if self._tell(connection, agent):
                    told += 1
                self._told[agent] = seen
        except KaizenError as err:
            log.debug("what was learned is told later: %s", err)
        finally:
            connection.close()
        known = {key.agent for key, _ in self._inspector.agents}
        self._told = {agent: seen for agent, seen in self._told.items() if agent in known}
        return told

    def _tell(self, connection: Connection, agent: str) -> bool:
        """False: the control plane does not want it (it knows no such agent, or is older than this)."""
        self._admit(connection)
        said: Json = {"sidecar": self._sidecar, "profile": outward(self._inspector.profile(agent), self._boundary)}
        path = f"/v1/agents/{quote(agent, safe='')}/profile"
        try:
            connection.json("POST", path, said, self._headers, DEADLINE, idempotent=True)
        except Refused as err:
            log.debug("what was learned of an agent is not wanted: %s", err)
            return False
        return True


def outward(profile: dict[str, Json], boundary: bytes) -> dict[str, Json]:
    """``Inspector.profile`` as it may leave the tenant."""
    learned: dict[str, Json] = {}
    found = profile["learned"]
    for dimension, rows in found.items() if isinstance(found, dict) else ():
        learned[dimension] = [
            {"value": outward_learned(dimension, row["value"], boundary), "count": row["count"]}
            for row in (rows if isinstance(rows, list) else ())
            if isinstance(row, dict) and isinstance(row["value"], str)
        ]
    return {**profile, "learned": learned}
