"""What is in force for an agent: the organisation's policies, its declaration and settings, as the wire's policies and as a Bundle.

``GET /v1/policy`` is read by clients that drop the whole list when one policy has a form that they do not know, so only legal forms
are ever made here, and nothing is kept that does not compile.
"""

from __future__ import annotations

import hashlib
import json
from itertools import islice

from kaizen_security.contract import canonical, spellings
from kaizen_security.contract.action import Json
from kaizen_security.contract.bundle import MAX_FOLDED, MAX_SUPPRESSED, Bundle, encode_bundle, encode_policy
from kaizen_security.contract.compiled_rules import parse_range
from kaizen_security.contract.declaration import NOTHING_DECLARED
from kaizen_security.contract.errors import InvalidInput
from kaizen_security.contract.fields import boolean, text, texts
from kaizen_security.contract.policy import Policy
from kaizen_security.contract.verdict import Mode
from kaizen_security.store.base import Store

NAME = "organisation policy"
CORRELATION = "organisation policy: sensitive read then connect"
LIFETIME = 24 * 3600.0
"""Seconds that a bundle holds; a new one is made every hour."""
RENEWED = 3600.0
_SPECIAL = frozenset(".^$*+?{}[]()|\\/")


def decode_org_policy(document: dict[str, Json]) -> dict[str, Json]:
    """An organisation's policy, checked, in the form in which it is kept. Raises InvalidInput naming the field."""
    mode = text(document, "mode", limit=16) or "off"
    if mode not in ("off", "blocklist", "allowlist"):
        raise InvalidInput("mode", "must be off, blocklist or allowlist")
    tools = texts(document, "tools", limit=256)
    destinations = texts(document, "destinations", limit=512)
    for i, destination in enumerate(destinations):
        _sorted_destination(destination, f"destinations[{i}]")
    for i, tool in enumerate(tools):
        if not tool.strip():
            raise InvalidInput(f"tools[{i}]", "is empty")
    if mode == "allowlist" and not tools and not destinations:
        raise InvalidInput("tools", "an allowlist must list a tool or a destination, or nothing could ever run")
    return {
        "mode": mode,
        "tools": list(dict.fromkeys(tools)),
        "destinations": list(dict.fromkeys(destinations)),
        "correlation": boolean(document, "correlation"),
    }


def _sorted_destination(said: str, field: str) -> tuple[str, str]:
    """``("ips", address or range)`` or ``("domains", name)``; a port is cut off, since policies know none. Raises InvalidInput."""
    try:
        parse_range(said)
    except ValueError:
        pass
    else:
        return "ips", said
    below = said.startswith(("*.", "."))
    name = said.removeprefix("*").removeprefix(".")
    try:
        found = canonical.target(name)
        host = canonical.host(found.host or name)
    except ValueError as err:
        raise InvalidInput(field, f"is neither a host name, nor an address, nor a range ({err})") from err
    if found.is_address:
        return "ips", host
    return "domains", ("*." if below else "") + host


def escape(tool: str) -> str:
    """A pattern that matches that name and no other, in every engine that deployed clients use."""
    return "^" + "".join("\\" + sign if sign in _SPECIAL else sign for sign in tool) + "$"


def org_policies(document: dict[str, Json]) -> tuple[Policy, ...]:
    """The policies that an organisation's policy comes to, in legal form.

    Destinations of an allowlist are none: no deployed client knows such a rule. ``server.evaluate`` applies them to reports.
    """
    mode = document.get("mode", "off")
    tools = texts(document, "tools", limit=256)
    made = []
    if mode == "blocklist":
        rules: dict[str, Json] = {}
        if tools:
            rules["skill_patterns"] = [escape(tool) for tool in tools]
        lists: dict[str, list[Json]] = {}
        for destination in texts(document, "destinations", limit=512):
            key, value = _sorted_destination(destination, "destinations")
            lists.setdefault(key, []).append(value)
        if tools or lists:
            made.append(Policy("blocklist", {**rules, **lists}, NAME))
    elif mode == "allowlist" and tools:
        made.append(Policy("allowlist", {"tools": list(tools)}, NAME))
    if document.get("correlation") is True:
        made.append(Policy("correlation", {"risky_sequence": "read_then_connect"}, CORRELATION))
    return tuple(made)


def in_force(store: Store, organisation: int) -> tuple[Policy, ...]:
    """Every policy of an organisation that is enabled."""
    own = tuple(policy for policy in store.policies(organisation) if policy.enabled)
    return (*org_policies(store.org_policy(organisation)), *own)


def for_deployed(policies: tuple[Policy, ...]) -> list[Json]:
    """Policies as deployed clients take them, in spellings that they match."""
    return [{**encode_policy(policy), "rules": spellings.for_deployed(policy.rules)} for policy in policies]


def bundle(store: Store, organisation: int, agent: str, now: float) -> Bundle:
    """What is in force for an agent, known or not."""
    owner = store.organisation(organisation)
    found = store.agent(organisation, agent)
    return Bundle(
        agent=agent,
        version=0 if owner is None else owner.revision,
        policies=in_force(store, organisation),
        declaration=NOTHING_DECLARED if found is None else found.declaration,
        mode=Mode.OBSERVE if found is None else found.mode,
        paused=found is not None and found.paused,
        judge_enabled=found is None or found.judge_enabled,
        issued_at=now,
        expires_at=now + LIFETIME,
        organisation="" if owner is None else owner.public_id,
        suppressed=_suppressed(store, organisation, agent),
        epoch=0 if found is None else found.epoch,
        folded=store.folds(organisation, agent)[-MAX_FOLDED:],
    )


def _suppressed(store: Store, organisation: int, agent: str) -> tuple[str, ...]:
    own = (entry.signature for entry in store.suppressions(organisation) if entry.agent == agent)
    return tuple(islice(own, MAX_SUPPRESSED))


def etag(made: Bundle) -> str:
    """Names a bundle's content and the hour in which it was made: the same one again is not sent again."""
    document = encode_bundle(made)
    for changing in ("version", "issued_at", "expires_at"):
        del document[changing]
    said = json.dumps([document, int(made.issued_at // RENEWED)], sort_keys=True).encode()
    return '"' + hashlib.sha256(said).hexdigest()[:32] + '"'
