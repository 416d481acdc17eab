"""Which attach points of each agent are heard of here, told to the control plane, so that people see where one has fallen silent.

Once a minute and when the sidecar ends: numbers of processes for each feed, no process is named. Of an agent all of whose points
have said goodbye nothing more is told, once that was. What cannot be told now is told a minute later.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable
from urllib.parse import quote

from kaizen_security.client.http import Connection
from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import KaizenError, Refused
from kaizen_security.runtime.clock import Clock
from kaizen_security.sidecar.heartbeats import Heartbeats

log = logging.getLogger(__name__)

DEADLINE = 5.0
MOST = 64
"""Feeds of one agent that are told."""


class Attached:
    """Of one sidecar, named ``sidecar``. ``admit`` raises when the control plane may not be told anything."""

    def __init__(
        self,
        *,
        api_url: str,
        api_key: str,
        sidecar: str,
        heartbeats: Heartbeats,
        clock: Clock,
        admit: Callable[[Connection], None],
    ) -> None:
        self.enabled = bool(api_key)
        self._api_url = api_url
        self._headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}
        self._sidecar = sidecar
        self._heartbeats = heartbeats
        self._clock = clock
        self._admit = admit
        self._over: set[str] = set()

    def tell(self) -> int:
        """Tell of every agent that has some; of how many. Blocks, up to DEADLINE seconds when nobody answers."""
        if not self.enabled:
            return 0
        told = 0
        connection = Connection(self._api_url)
        found = counted(self._heartbeats.shown(), self._clock())
        try:
            for agent, points in found.items():
                over = all(not point["alive"] and not point["dark"] for point in points)
                if over and agent in self._over:
                    continue
                self._admit(connection)
                told += self._tell(connection, agent, points)
                (self._over.add if over else self._over.discard)(agent)
        except KaizenError as err:
            log.debug("who is attached is told later: %s", err)
        finally:
            connection.close()
        self._over &= found.keys()
        return told

    def _tell(self, connection: Connection, agent: str, points: list[dict[str, Json]]) -> bool:
        """False: the control plane does not want it (it knows no such agent, or is older than this)."""
        listed: list[Json] = list(points[:MOST])
        said: Json = {"sidecar": self._sidecar, "points": listed}
        path = f"/v1/agents/{quote(agent, safe='')}/attach-points"
        try:
            connection.json("POST", path, said, self._headers, DEADLINE, idempotent=True)
        except Refused as err:
            log.debug("who is attached is not wanted: %s", err)
            return False
        return True


def counted(shown: list[dict[str, Json]], now: float) -> dict[str, list[dict[str, Json]]]:
    """``Heartbeats.shown`` by agent, as the control plane takes it: processes by state for each feed, those in the dark first."""
    by_feed: defaultdict[tuple[str, str], defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for one in shown:
        heard = one["heard"]
        by_feed[str(one["agent"]), str(one["source"])][str(one["state"])].append(
            float(heard) if isinstance(heard, int | float) else now
        )
    found: defaultdict[str, list[dict[str, Json]]] = defaultdict(list)
    for (agent, source), states in by_feed.items():
        last = max(next(states[name] for name in ("dark", "alive", "left") if states[name]))
        counts: dict[str, Json] = {name: len(states[name]) for name in ("alive", "dark", "left")}
        found[agent].append({"source": source, **counts, "silent": round(max(0.0, now - last), 1)})
    for points in found.values():
        points.sort(key=lambda point: (not point["dark"], not point["alive"], str(point["source"])))
    return dict(found)
