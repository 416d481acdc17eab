"""Deny lists in the spelling that deployed clients match: what they cannot read they leave out in silence, and then allow.

They compare a domain with the host and its parents, as text and without regard to case; ``*.x`` and ``.x`` match nothing there, nor
does an A-label the same name in Unicode. They take addresses and ranges in the usual spelling only, and one of them reads the rule
``ip`` where the others read ``ips``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import ip_network

from kaizen_security.contract.action import Json
from kaizen_security.contract.canonical_idna import decoded
from kaizen_security.contract.compiled_rules import parse_range

_KEPT = 16384
"""Spellings remembered; a client asks for the whole list each time."""


def for_deployed(rules: Mapping[str, Json]) -> dict[str, Json]:
    """The rules of a policy, each entry in every spelling that is needed.

    ``*.x`` becomes ``x``, which blocks ``x`` itself as well: a deny that is too wide by one name is better than none.
    """
    made = dict(rules)
    domains, addresses = rules.get("domains"), rules.get("ips")
    if isinstance(domains, list):
        made["domains"] = _once(spelling for entry in domains for spelling in _names(str(entry)))
    if isinstance(addresses, list):
        made["ips"] = made["ip"] = _once(_addresses(str(entry)) for entry in addresses)
    return made


def _once(spellings: Iterable[str]) -> list[Json]:
    return list(dict.fromkeys(spellings))


@lru_cache(maxsize=_KEPT)
def _names(entry: str) -> tuple[str, ...]:
    name = entry.removeprefix("*").removeprefix(".")
    if "xn--" not in name:
        return (name,)
    try:
        return name, ".".join(decoded(label) if label.startswith("xn--") else label for label in name.split("."))
    except ValueError:
        return (name,)


@lru_cache(maxsize=_KEPT)
def _addresses(entry: str) -> str:
    try:
        found = parse_range(entry)
    except ValueError:
        return entry
    width = 32 if found.family == 4 else 128
    network = ip_network((found.first.to_bytes(width // 8), found.length))
    return str(network.network_address) if found.length == width else str(network)
