"""Settings from a document: every value checked, the one that cannot be used named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

from kaizen_security.client.dial import place
from kaizen_security.contract import canonical
from kaizen_security.contract.action import Json
from kaizen_security.contract.declaration import Declaration
from kaizen_security.contract.declared import compile_declaration
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.egress import opening
from kaizen_security.egress.accounts import MAX_AGENT
from kaizen_security.egress.budgets import Budget
from kaizen_security.egress.settings import Config


def from_values(values: Mapping[str, Json]) -> Config:
    """Settings from a document. Raises Misconfigured for an unknown name or a value of the wrong kind."""
    known = {entry.name for entry in fields(Config)}
    default = Config()
    chosen: dict[str, Any] = {}
    for name, value in values.items():
        if name not in known:
            raise Misconfigured(f"{name}: there is no such setting (known: {', '.join(sorted(known))})")
        chosen[name] = _value(name, value, getattr(default, name))
    config = replace(default, **chosen)
    _check(config)
    return config


def _value(name: str, value: Json, default: object) -> object:
    read = _READERS.get(name)
    if read is not None:
        return read(value)
    if name == "fail_closed" or isinstance(default, bool):
        if not isinstance(value, bool):
            raise Misconfigured(f"{name}: must be true or false")
        return value
    if isinstance(default, int | float):
        return _number(name, value, whole=isinstance(default, int))
    if not isinstance(value, str):
        raise Misconfigured(f"{name}: must be text")
    if name == "host" and not value.strip():
        # The socket module takes "" for every address: nobody who left a variable empty means that.
        raise Misconfigured("host: must be an address; for every address of this machine say 0.0.0.0 or ::")
    if name in ("api_url", "sidecar") and value:
        try:
            place(value)
        except Misconfigured as err:
            raise Misconfigured(f"{name}: {err}") from err
    return Path(value) if isinstance(default, Path) else value


OFF = frozenset(("transparent_port", "dns_port", "listen_fd"))
"""Numbers that may be -1: not there."""


def _number(name: str, value: Json, *, whole: bool) -> int | float:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError("not a number")  # noqa: TRY004 - joined with the texts that are none
        number = int(value) if whole else float(value)
        if not (0 <= number < 1 << 40 or (number == -1 and name in OFF)):
            raise ValueError
    except ValueError as err:
        raise Misconfigured(f"{name}: must be a {'whole ' if whole else ''}number from 0") from err
    return number


def _hosts(value: Json) -> dict[tuple[str, int], tuple[str, int]]:
    if not isinstance(value, dict):
        raise Misconfigured("hosts: must be an object of name: address")
    hosts = {}
    for name, address in value.items():
        if not isinstance(address, str):
            raise Misconfigured(f"hosts.{name}: must be an address, with or without a port")
        dialled = _endpoint(f"hosts.{name}", address)
        if not canonical.target(address).is_address:
            raise Misconfigured(f"hosts.{name}: {address} is not an address")
        hosts[_endpoint("hosts", name)] = dialled
    return hosts


def _endpoint(field: str, said: str) -> tuple[str, int]:
    target = canonical.target(said)
    if not target.host:
        raise Misconfigured(f"{field}: {said!r} is not HOST or HOST:PORT")
    return target.host, target.port


def _networks(value: Json) -> tuple[IPv4Network | IPv6Network, ...]:
    if not isinstance(value, list):
        raise Misconfigured("allow: must be a list of networks")
    try:
        return tuple(ip_network(str(entry), strict=False) for entry in value)
    except ValueError as err:
        raise Misconfigured(f"allow: {err}") from err


def _credentials(value: Json) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(key, str) and key for key in value.values()):
        raise Misconfigured("credentials: must be an object of agent: key")
    return {agent: str(key) for agent, key in value.items()}


def _sources(value: Json) -> tuple[tuple[IPv4Network | IPv6Network, str], ...]:
    if not isinstance(value, dict):
        raise Misconfigured("sources: must be an object of network: agent")
    found = []
    for network, agent in value.items():
        if not isinstance(agent, str) or not 0 < len(agent) <= MAX_AGENT:
            raise Misconfigured(f"sources.{network}: must be an agent's name of 1 to {MAX_AGENT} characters")
        try:
            found.append((ip_network(network, strict=False), agent))
        except ValueError as err:
            raise Misconfigured(f"sources: {err}") from err
    return tuple(sorted(found, key=lambda one: -one[0].prefixlen))


def _check(config: Config) -> None:
    if config.mode not in ("observe", "enforce"):
        raise Misconfigured("mode: must be observe or enforce")
    for name in ("port", "transparent_port", "dns_port"):
        if getattr(config, name) >= 65536:
            raise Misconfigured(f"{name}: must be from 0 to 65535")
    if config.dns_upstream:
        upstream = canonical.target(config.dns_upstream)
        if not upstream.is_address:
            raise Misconfigured("dns_upstream: must be an address, with or without a port")
    if config.max_connections < 1:
        raise Misconfigured("max_connections: must be at least 1")
    if not config.agent or len(config.agent) > MAX_AGENT:
        raise Misconfigured(f"agent: must have 1 to {MAX_AGENT} characters")


def _destinations(value: Json) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise Misconfigured("destinations: must be a list of destinations")
    found = tuple(str(one) for one in value)
    try:
        compile_declaration(Declaration(destinations=found))
    except Misconfigured as err:
        raise Misconfigured(f"destinations: {err}") from err
    return found


_LIMITS = ("bytes_up", "bytes_down", "connections")


def _budgets(value: Json) -> tuple[Budget, ...]:
    if not isinstance(value, list):
        raise Misconfigured("budgets: must be a list of tables")
    return tuple(_budget(f"budgets[{number}]", entry) for number, entry in enumerate(value))


def _budget(where: str, entry: Json) -> Budget:
    if not isinstance(entry, dict) or not isinstance(entry.get("destination"), str):
        raise Misconfigured(f"{where}: must be a table with a destination")
    known = {"destination", "seconds", "each", *_LIMITS}
    for name in entry:
        if name not in known:
            raise Misconfigured(f"{where}.{name}: there is no such setting (known: {', '.join(sorted(known))})")
    destination = str(entry["destination"])
    if destination != "*":
        try:
            compile_declaration(Declaration(destinations=(destination,)))
        except Misconfigured as err:
            raise Misconfigured(f"{where}.destination: {err}") from err
    limits = {name: int(_number(f"{where}.{name}", entry.get(name, 0), whole=True)) for name in _LIMITS}
    seconds = float(_number(f"{where}.seconds", entry.get("seconds", 3600.0), whole=False))
    each = entry.get("each", False)
    if not seconds or not isinstance(each, bool) or not any(limits.values()):
        raise Misconfigured(f"{where}: needs one of {', '.join(_LIMITS)}, seconds above 0, and each true or false")
    return Budget(destination=destination, seconds=seconds, each=each, **limits)


_READERS: Mapping[str, Callable[[Json], object]] = {
    "hosts": _hosts,
    "allow": _networks,
    "sources": _sources,
    "credentials": _credentials,
    "destinations": _destinations,
    "budgets": _budgets,
    "inspect": opening.read,
}
