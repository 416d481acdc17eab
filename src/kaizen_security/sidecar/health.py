"""``/healthz`` and ``/readyz`` of the sidecar: alive, of use, and what was lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from kaizen_security.net.inbound import turned_away
from kaizen_security.runtime.agents import Agents
from kaizen_security.runtime.inspector import Inspector
from kaizen_security.sidecar.holding import Holding
from kaizen_security.sidecar.http import answer, on_socket
from kaizen_security.sidecar.reasoning import SidecarReasoning
from kaizen_security.sidecar.uplink import Uplink


def routes(
    inspector: Inspector,
    uplink: Uplink,
    holding: Holding,
    reasoning: SidecarReasoning,
    refused: Callable[[], Mapping[str, int]],
    joined: Mapping[str, int],
    restarted: Mapping[str, int],
) -> list[Route]:
    """``refused``: by name, what there was no room for; ``joined``: calls and effects of one deed, and what had none.

    ``restarted``: lasting work of the sidecar that ended before its time, and how often.
    """

    async def healthz(request: Request) -> Response:
        """Alive; on the Unix socket also what was lost, and why."""
        if not on_socket(request):
            return answer({"status": "ok"})
        shelf = uplink.shelf
        return answer(
            {
                "status": "ok",
                "agents": len(inspector.agents),
                "failures": inspector.failures,
                "control_plane": uplink.state if uplink.enabled else "not used",
                "sent": uplink.sent,
                "rejected": uplink.rejected,
                "waiting": uplink.spool.pending,
                "lost": {**uplink.spool.lost},
                "losses": _losses(inspector.agents, refused()),
                "joined": {**joined},
                "holds": holding.figures(),
                "reasoning": reasoning.state(),
                "bundles_refused": uplink.bundles_refused,
                "broken_files": shelf.broken,
                "restarted": {**restarted},
                "turned_away": {**turned_away},
                "disk": shelf.problem or uplink.spool.problem or "ok",
            }
        )

    async def readyz(request: Request) -> Response:
        """503 when the control plane does not take our key, since then nothing of what we see arrives.

        The same when the data directory is another organisation's.
        """
        refused = uplink.enabled and uplink.state in ("refused", "foreign")
        return answer({"ready": not refused, "control_plane": uplink.state}, 503 if refused else 200)

    return [Route("/healthz", healthz, methods=["GET"]), Route("/readyz", readyz, methods=["GET"])]


def _losses(agents: Agents, refused: Mapping[str, int]) -> dict[str, int]:
    losses = Counter({"agents_evicted": agents.evicted, **refused})
    for _, lane in agents:
        losses.update(lane.observer.losses.to_json())
    return dict(losses)
