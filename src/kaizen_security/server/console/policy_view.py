"""Policies as the console shows and takes them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kaizen_security.contract.action import Json
from kaizen_security.contract.compiled import compile_policies
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.contract.fields import texts
from kaizen_security.contract.policy import Policy
from kaizen_security.server import bundles
from kaizen_security.server.console.lists import entries, typed

MAX_SHOWN: Final = 50
"""Entries of one rule that are shown."""
MODES: Final = (
    ("off", "Off", "Nothing of its own. The policies below hold all the same."),
    ("blocklist", "Blocklist", "What is listed is blocked; everything else is not."),
    ("allowlist", "Allowlist", "What is not listed is blocked. An empty list permits everything of its kind."),
)
RULES: Final = (
    ("domains", "Domains", "blocklist", "A host and all below it; *.host: below it alone."),
    ("ips", "Addresses", "blocklist", "An address, or a range such as 203.0.113.0/24."),
    ("skill_patterns", "Tool patterns", "blocklist", "A pattern for a tool's whole name, such as drop_.*"),
    ("hashes", "Hashes", "blocklist", "Of code that must not run, with or without sha256: in front."),
    ("tools", "Tools", "allowlist", "What an allowlist permits by name."),
    ("publishers", "Publishers", "blocklist or allowlist", "Who published a tool."),
)
OWN_MODES: Final = (
    ("blocklist", "Blocklist"),
    ("allowlist", "Allowlist"),
    ("correlation", "Sensitive read, then connection"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyView:
    """One policy. ``rules`` are (rule, first entries, how many there are); ``problem`` says why it cannot be used, if so."""

    name: str
    mode: str
    rules: tuple[tuple[str, tuple[str, ...], int], ...]
    enabled: bool
    problem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """What is in force together: ``version`` is empty and ``problem`` not when it cannot be compiled."""

    policies: tuple[PolicyView, ...]
    version: str
    count: int
    problem: str


def policy_view(policy: Policy) -> PolicyView:
    """``policy``, with what is wrong with it."""
    rules = []
    for key, value in policy.rules.items():
        listed = [str(entry) for entry in value] if isinstance(value, list | tuple) else [str(value)]
        rules.append((str(key), tuple(listed[:MAX_SHOWN]), len(listed)))
    return PolicyView(
        name=policy.name,
        mode=policy.mode,
        rules=tuple(rules),
        enabled=policy.enabled,
        problem=problem_of([policy]),
    )


def problem_of(policies: Sequence[Policy]) -> str:
    """Why these cannot be used, naming policy and rule; ``""`` when they can."""
    try:
        compile_policies(policies)
    except Misconfigured as err:
        return str(err)
    return ""


def effective(policies: Sequence[Policy]) -> Effective:
    """All that is in force, compiled as the agents compile it."""
    views = tuple(policy_view(policy) for policy in policies)
    try:
        compiled = compile_policies(policies)
    except Misconfigured as err:
        return Effective(policies=views, version="", count=0, problem=str(err))
    return Effective(policies=views, version=compiled.version, count=compiled.entries, problem="")


def org_document(said: Mapping[str, str]) -> dict[str, Json]:
    """The organisation's policy as its form says it; unchecked."""
    tools: list[Json] = [*entries(said.get("tools", ""))]
    destinations: list[Json] = [*entries(said.get("destinations", ""))]
    return {
        "mode": said.get("mode", ""),
        "tools": tools,
        "destinations": destinations,
        "correlation": said.get("correlation", "") == "1",
    }


def org_typed(document: Mapping[str, Json]) -> dict[str, str]:
    """The fields of the form that ``org_document`` reads."""
    said = dict(document)
    return {
        "mode": str(said.get("mode", "off")),
        "tools": typed(texts(said, "tools")),
        "destinations": typed(texts(said, "destinations")),
        "correlation": "1" if said.get("correlation") is True else "",
    }


def own_policy(said: Mapping[str, str]) -> Policy:
    """A policy as its form says it; unchecked."""
    mode = said.get("mode", "")
    rules: dict[str, Json] = {}
    if mode == "correlation":
        rules["risky_sequence"] = "read_then_connect"
    for key, *_ in RULES:
        listed: list[Json] = [*entries(said.get(key, ""))]
        if listed:
            rules[key] = listed
    return Policy(mode=mode, rules=rules, name=said.get("name", "").strip(), enabled=said.get("enabled", "") == "1")


def own_typed(policy: Policy | None) -> dict[str, str]:
    """The fields of the form that ``own_policy`` reads; of a new policy when None."""
    if policy is None:
        return {"name": "", "mode": "blocklist", "enabled": "1", **{key: "" for key, *_ in RULES}}
    # "ip" is an older spelling of the same rule.
    spellings = {key: ("ips", "ip") if key == "ips" else (key,) for key, *_ in RULES}
    return {
        "name": policy.name,
        "mode": policy.mode,
        "enabled": "1" if policy.enabled else "",
        **{
            key: typed(entry for one in keys for entry in _listed(policy.rules.get(one)))
            for key, keys in spellings.items()
        },
    }


def _listed(value: Json) -> list[str]:
    return [str(entry) for entry in value] if isinstance(value, list | tuple) else []


def allowed(document: Mapping[str, Json]) -> tuple[str, ...]:
    """The only destinations that the organisation's policy lets pass; empty for any."""
    return texts(dict(document), "destinations") if document.get("mode") == "allowlist" else ()


def beside(document: Mapping[str, Json], own: Sequence[Policy]) -> tuple[Policy, ...]:
    """What would be in force with ``document`` as the organisation's policy beside its ``own``. Raises InvalidInput."""
    return (*bundles.org_policies(dict(document)), *(policy for policy in own if policy.enabled))
