"""Whether a request may go, and whether over the connection that the last one left open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kaizen_security.egress.budgets import Meters
from kaizen_security.egress.dial import Origin
from kaizen_security.egress.http1 import Destination
from kaizen_security.egress.rules import Refusal

if TYPE_CHECKING:
    from kaizen_security.egress.proxy import Proxy


def decided(
    proxy: Proxy, agent: str, destination: Destination, kept: Origin | None
) -> tuple[Refusal | Meters, Origin | None]:
    """Why not, or the meters that its bytes run through; and ``kept`` if it leads there and its address may still be dialled."""
    host, port = destination.host, destination.port
    if kept is not None and kept.key != (agent, host, port):
        kept = None
    # Taken before anything is decided by it: rules that change meanwhile are not what this was decided by.
    gate = proxy.gate
    rules = gate.standing(agent)
    stands = kept is not None and rules is not None and kept.rules is rules and kept.gate is gate
    permitted = proxy.permit(agent, destination, known=stands)
    if kept is None or stands or isinstance(permitted, Refusal):
        return permitted, kept
    hosts = proxy.config.hosts
    mapped = (host, port) in hosts or (host, 0) in hosts
    if gate.address(agent, kept.address, port, mapped=mapped) is not None:
        return permitted, None
    kept.gate, kept.rules = gate, rules
    return permitted, kept
