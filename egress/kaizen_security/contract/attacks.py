"""The ten attack classes, with their ids in the OWASP agentic top ten and in MITRE ATLAS.

Sources: OWASP Top 10 for Agentic Applications (ASI01-ASI10); MITRE ATLAS techniques (AML.T…). An empty tuple beats a forced id.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class AttackClass:
    """One class of attack; ``id`` is what findings and scenarios carry."""

    number: int
    id: str
    title: str
    owasp: tuple[str, ...]
    atlas: tuple[str, ...]


_TABLE = (
    (1, "blocked-host", "Exfiltration to a blocked host", "ASI02", "AML.T0086"),
    (2, "allowed-host", "Exfiltration to an allowed host", "ASI02 ASI01", "AML.T0086"),
    (3, "undeclared", "Undeclared capability", "ASI02 ASI10", "AML.T0053"),
    (4, "read-then-egress", "Sensitive read, then egress", "ASI02", "AML.T0085 AML.T0086"),
    (5, "injection", "Injection out of purpose", "ASI01", "AML.T0051.001"),
    (6, "credentials", "Credential probing", "ASI03", "AML.T0098 AML.T0055"),
    (7, "mcp-poison", "MCP tool poisoning", "ASI04", "AML.T0110 AML.T0099"),
    (8, "scope-creep", "Scope creep", "ASI02 ASI03", "AML.T0053"),
    (9, "drift", "Slow drift", "ASI10", ""),
    (10, "swarm", "Compromised worker in a swarm", "ASI07 ASI08", ""),
)

ATTACKS: dict[str, AttackClass] = {
    id_: AttackClass(number=number, id=id_, title=title, owasp=tuple(owasp.split()), atlas=tuple(atlas.split()))
    for number, id_, title, owasp, atlas in _TABLE
}
"""Every attack class by its id."""
