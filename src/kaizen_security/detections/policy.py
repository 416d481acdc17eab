"""Policy: what the organisation denies, by list."""

from __future__ import annotations

from dataclasses import replace

from kaizen_security.contract.action import Action
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.policy import Policy
from kaizen_security.observer.detection import About, Context, Example, Status

ABOUT = About(
    name="policy",
    title="Denied by policy",
    says="The action touches an entry of a blocklist, or something that is not on an allowlist.",
    status=Status.STABLE,
    attacks=("blocked-host", "mcp-poison"),
    misses="Whatever nobody listed: a new host of an attacker, a listed tool used for another purpose.",
    advice="If it is wanted, change the policy that the finding names; nothing that was learned can overrule it.",
)


def detect(action: Action, context: Context) -> tuple[Finding, ...]:
    """The findings of the compiled policies."""
    found = context.looked.policy.evidence
    return tuple(one if one.detection == "policy" else replace(one, detection="policy") for one in found)


_BLOCK = (Policy("blocklist", {"domains": ["attacker.example"], "skill_patterns": ["rm_.*"]}, "house list"),)
_ALLOW = (Policy("allowlist", {"tools": ["search"]}, "only search"),)

FIRES = (
    Example(
        name="a connection to a listed domain",
        action=Action(kind="connect", target="attacker.example:443", metadata={"source": "egress"}),
        kinds=("malicious domain",),
        policies=_BLOCK,
    ),
    Example(
        name="a subdomain, in capitals, with a trailing dot",
        action=Action(kind="http", target="https://Drop.ATTACKER.example./x"),
        kinds=("malicious domain",),
        policies=_BLOCK,
    ),
    Example(
        name="a tool that is not on the allowlist",
        action=Action(tool="transfer_money"),
        kinds=("tool not on the allowlist",),
        policies=_ALLOW,
    ),
)

SILENT = (
    Example(
        name="another domain that ends alike",
        action=Action(kind="connect", target="notattacker.example:443"),
        policies=_BLOCK,
    ),
    Example(name="a listed tool", action=Action(tool="search"), policies=_ALLOW),
    Example(name="no policy", action=Action(tool="anything", target="attacker.example:443")),
)
