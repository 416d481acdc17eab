"""Declaration: a tool or a destination that the agent never declared."""

from __future__ import annotations

from dataclasses import replace

from kaizen_security.contract.action import Action
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.finding import Finding
from kaizen_security.contract.verdict import Mode
from kaizen_security.observer.detection import About, Context, Example, Status

ABOUT = About(
    name="declaration",
    title="Undeclared capability",
    says="The agent has declared its tools or its destinations, and this one is not among them.",
    status=Status.STABLE,
    attacks=("undeclared", "scope-creep", "injection"),
    misses="An attack with declared tools on declared hosts; a dimension that was never declared.",
    advice="If the agent needs it, add it to its declaration; else look at the run that led here.",
)


def detect(action: Action, context: Context) -> tuple[Finding, ...]:
    """The findings of the compiled declaration."""
    found = context.rules.declared.undeclared(action)
    return tuple(one if one.detection == "declaration" else replace(one, detection="declaration") for one in found)


_DECLARED = Declaration(tools=("search", "send_mail"), destinations=("api.example", "*.docs.example"))

FIRES = (
    Example(
        name="a tool that was not declared",
        action=Action(tool="transfer_money"),
        kinds=("undeclared tool",),
        declaration=_DECLARED,
    ),
    Example(
        name="a connection to a host that was not declared, seen by the proxy",
        action=Action(kind="connect", target="attacker.example:443", metadata={"source": "egress"}),
        kinds=("undeclared destination",),
        declaration=_DECLARED,
        mode=Mode.ENFORCE,
    ),
    Example(
        name="both at once",
        action=Action(tool="upload", target="https://attacker.example/drop"),
        kinds=("undeclared tool", "undeclared destination"),
        declaration=_DECLARED,
    ),
)

SILENT = (
    Example(
        name="a declared tool on a declared host",
        action=Action(tool="search", target="https://API.example:443/v1"),
        declaration=_DECLARED,
    ),
    Example(
        name="a host under a declared suffix",
        action=Action(kind="connect", target="eu.docs.example:443"),
        declaration=_DECLARED,
    ),
    Example(
        name="destinations were not declared",
        action=Action(kind="connect", target="attacker.example:443"),
        declaration=Declaration(tools=("search",)),
    ),
)
