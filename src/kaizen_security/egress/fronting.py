"""Names that disagree: asked for in CONNECT or the target, and named again in the TLS hello or the Host field."""

from __future__ import annotations

from kaizen_security.contract.finding import Finding


def disagreement(asked: str, named: str, where: str) -> Finding:
    """``asked`` is the host that was decided on, ``named`` the other one, ``where`` it stood (``TLS name``, ``Host field``).

    A front hides where a request really goes: many sites of one provider answer to any of their names at any of their addresses.
    """
    return Finding(
        kind="domain fronting",
        value=named[:512],
        source="egress",
        detection="egress-fronting",
        field="target",
        expected=f"{where} {asked}"[:512],
        observed=named[:512],
        advice="Find out why the connection asks one host for another; declare the one that is meant.",
        attack="allowed-host",
    )
