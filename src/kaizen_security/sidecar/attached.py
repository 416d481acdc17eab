"""Which attach points of each agent are heard of here, told to the control plane, so that people see where one has fallen silent.

Once a minute and when the sidecar ends: numbers of processes for each feed, no process is named. Of an agent all of whose points
have said goodbye nothing more is told, once that was. What cannot be told now is told a minute later.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial

from kaizen_security.client.http import Connection
from kaizen_security.contract.action import Json
from kaizen_security.runtime.clock import Clock
from kaizen_security.sidecar.heartbeats import Heartbeats
from kaizen_security.sidecar.reporting import Reporting

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
        self._reporting = Reporting("attach-points", api_url=api_url, api_key=api_key, sidecar=sidecar, admit=admit)
        self._heartbeats = heartbeats
        self._clock = clock
        self._over: set[str] = set()

    def report(self) -> int:
        """Report every agent that has some; of how many. Blocks, up to ``reporting.DEADLINE`` seconds when nobody answers."""
        if not self._reporting.enabled:
            return 0
        found = counted(self._heartbeats.shown(), self._clock())
        over = {agent for agent, points in found.items() if not any(one["alive"] or one["dark"] for one in points)}

        def due() -> Iterator[tuple[str, Callable[[], dict[str, Json]]]]:
            for agent, points in found.items():
                if agent not in over & self._over:
                    listed: list[Json] = list(points[:MOST])
                    yield agent, partial(dict[str, Json], points=listed)

        def reported(agent: str) -> None:
            (self._over.add if agent in over else self._over.discard)(agent)

        wanted = self._reporting.report(due(), reported)
        self._over &= found.keys()
        return wanted


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
