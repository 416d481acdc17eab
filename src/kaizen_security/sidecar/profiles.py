"""What was learned of each agent here, told to the control plane, so that people see it where they look.

In boundary form, like everything that leaves; once a minute and when the sidecar ends, of agents of which something was learned
since. What cannot be reported now is reported a minute later.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from kaizen_security.client.http import Connection
from kaizen_security.contract.action import Json
from kaizen_security.contract.boundary import outward_learned
from kaizen_security.runtime.inspector import Inspector
from kaizen_security.sidecar.reporting import Reporting

SECONDS = 60.0
"""Between two looks."""


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
        self._reporting = Reporting("profile", api_url=api_url, api_key=api_key, sidecar=sidecar, admit=admit)
        self._boundary = boundary
        self._inspector = inspector
        self._reported: dict[str, int] = {}

    def report(self) -> int:
        """Report what is new; how many agents it was of. Blocks, up to ``reporting.DEADLINE`` seconds when nobody answers."""
        if not self._reporting.enabled:
            return 0
        seen = {key.agent: lane.observer.baseline.seen for key, lane in self._inspector.agents}
        changed = [agent for agent, count in seen.items() if count != self._reported.get(agent, 0)]

        def reported(agent: str) -> None:
            self._reported[agent] = seen[agent]

        wanted = self._reporting.report(((agent, partial(self._profile, agent)) for agent in changed), reported)
        self._reported = {agent: count for agent, count in self._reported.items() if agent in seen}
        return wanted

    def _profile(self, agent: str) -> dict[str, Json]:
        return {"profile": outward(self._inspector.profile(agent), self._boundary)}


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
