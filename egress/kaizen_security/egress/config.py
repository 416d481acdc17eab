"""Settings of the proxy: flags win over the environment, that over the file, that over the defaults."""

from __future__ import annotations

import argparse
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any

from kaizen_security.contract import canonical
from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.egress.accounts import MAX_AGENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Every setting; the names are those of the configuration file. Times are seconds.

    ``host``, ``port``      where the proxy listens; port 0: any free one
    ``listen_fd``           descriptor of a listening TCP socket that the parent left open, in place of both
    ``api_url``             the control plane; ``sidecar`` (``unix:///…`` or a URL), when given, is talked to instead
    ``api_key``, ``agent``  the proxy's key; the agent that connections without proxy credentials belong to
    ``mode``                ``observe``: without a policy, pass. ``enforce``: without a fresh policy, refuse
    ``fail_closed``         overrides what ``mode`` says about that
    ``hosts``               names that resolve to given addresses: ``{"api.internal:443": "127.0.0.1:9443"}``
    ``allow``               networks exempt from the built-in refusals (loopback, link-local, cloud metadata)
    ``allow_loopback``      the whole of 127.0.0.0/8 and ::1
    ``credentials``         ``{agent: key}`` or ``{agent: "sha256:<hex>"}``: proxy credentials besides ``api_key``
    ``sources``             whose these are, by the peer's network: ``{"10.1.2.0/24": agent}``; the longest prefix counts
    ``require_credentials`` also of private and loopback peers; of public peers they are always required
    ``via``                 add a Via field to plain requests
    ``header_timeout``      for a request's head; ``connect_timeout`` for name and connection; ``idle_timeout`` without a byte;
                            ``keepalive_timeout`` between requests
    ``drain_timeout``       how long open connections may go on after SIGTERM
    ``max_connections``     clients at once
    ``policy_refresh``      between two fetches; ``policy_max_age``: older is not fresh
    ``data``                folder for the spool and the last policy; ``spool_bytes``: the spool's bound
    ``splice``, ``epoll``   off: copy, ``selectors`` (for systems where they misbehave)
    """

    host: str = "127.0.0.1"
    port: int = 8080
    listen_fd: int = -1
    api_url: str = "http://127.0.0.1:8000"
    sidecar: str = ""
    api_key: str = ""
    agent: str = "egress-agent"
    mode: str = "observe"
    fail_closed: bool | None = None
    hosts: Mapping[tuple[str, int], tuple[str, int]] = field(default_factory=dict)
    allow: tuple[IPv4Network | IPv6Network, ...] = ()
    allow_loopback: bool = False
    credentials: Mapping[str, str] = field(default_factory=dict)
    sources: tuple[tuple[IPv4Network | IPv6Network, str], ...] = ()
    require_credentials: bool = False
    via: bool = False
    header_timeout: float = 30.0
    connect_timeout: float = 15.0
    idle_timeout: float = 900.0
    keepalive_timeout: float = 75.0
    drain_timeout: float = 5.0
    max_connections: int = 10_000
    policy_refresh: float = 15.0
    policy_max_age: float = 300.0
    data: Path = Path("kaizen-egress")
    spool_bytes: int = 64 << 20
    splice: bool = True
    epoll: bool = True

    @property
    def closed(self) -> bool:
        """Whether the proxy refuses when it has no fresh policy."""
        return self.mode == "enforce" if self.fail_closed is None else self.fail_closed


_ENVIRONMENT = {
    "host": ("KAIZEN_EGRESS_HOST",),
    "port": ("PORT",),
    "api_url": ("KAIZEN_API_URL", "KAIZEN_BASE_URL"),
    "sidecar": ("KAIZEN_SIDECAR",),
    "api_key": ("KAIZEN_API_KEY",),
    "agent": ("KAIZEN_AGENT",),
    "mode": ("KAIZEN_EGRESS_MODE",),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of ``kaizen egress`` and ``egress/proxy.py``."""
    parser.add_argument("--host", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on; 0: any free one (default 8080, or PORT)")
    parser.add_argument(
        "--listen-fd", type=int, metavar="N", help="listen on the socket that the parent left open there"
    )
    parser.add_argument("--config", type=Path, help="configuration file, .toml or .json")
    parser.add_argument("--agent", help="agent that connections belong to (default egress-agent, or KAIZEN_AGENT)")
    parser.add_argument("--api-url", help="control plane (default http://127.0.0.1:8000, or KAIZEN_API_URL)")
    parser.add_argument("--sidecar", help="sidecar to talk to instead: unix:///path or http://… (or KAIZEN_SIDECAR)")
    parser.add_argument(
        "--mode", choices=("observe", "enforce"), help="without a policy: pass or refuse (default observe)"
    )
    parser.add_argument(
        "--data", type=Path, help="folder for the spool and the last policy (default KAIZEN_DATA/egress)"
    )


def load(args: argparse.Namespace, environ: Mapping[str, str]) -> Config:
    """The settings in force. Raises Misconfigured naming the one that cannot be used."""
    values: dict[str, Json] = {}
    if args.config is not None:
        values |= read_file(args.config)
    for name, variables in _ENVIRONMENT.items():
        for variable in reversed(variables):
            if environ.get(variable):
                values[name] = environ[variable]
    for name in ("host", "port", "listen_fd", "agent", "api_url", "sidecar", "mode"):
        if getattr(args, name) is not None:
            values[name] = getattr(args, name)
    if args.data is not None:
        values["data"] = str(args.data)
    values.setdefault("data", str(data_folder(environ)))
    return from_values(values)


def data_folder(environ: Mapping[str, str]) -> Path:
    """``KAIZEN_DATA/egress``, by default under the user's data directory."""
    if environ.get("KAIZEN_DATA"):
        return Path(environ["KAIZEN_DATA"]) / "egress"
    base = environ.get("XDG_DATA_HOME") or str(Path(environ.get("HOME") or "/tmp") / ".local/share")  # noqa: S108 - a user without a home
    return Path(base) / "kaizen" / "egress"


def environment() -> Mapping[str, str]:
    """The process's environment."""
    return os.environ


def read_file(path: Path) -> dict[str, Json]:
    """The settings in a TOML or JSON file. Raises Misconfigured."""
    try:
        data = path.read_bytes()
        values = json.loads(data) if path.suffix == ".json" else tomllib.loads(data.decode())
    except OSError as err:
        raise Misconfigured(f"{path}: {err.strerror}") from err
    except ValueError as err:
        raise Misconfigured(f"{path}: {err}") from err
    if not isinstance(values, dict):
        raise Misconfigured(f"{path}: must hold an object")
    return values


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
    if name == "hosts":
        return _hosts(value)
    if name == "allow":
        return _networks(value)
    if name == "sources":
        return _sources(value)
    if name == "credentials":
        return _credentials(value)
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
    return Path(value) if isinstance(default, Path) else value


def _number(name: str, value: Json, *, whole: bool) -> int | float:
    try:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError("not a number")  # noqa: TRY004 - joined with the texts that are none
        number = int(value) if whole else float(value)
        if not 0 <= number < 1 << 40:
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
    if not 0 <= config.port < 65536:
        raise Misconfigured("port: must be from 0 to 65535")
    if config.max_connections < 1:
        raise Misconfigured("max_connections: must be at least 1")
    if not config.agent or len(config.agent) > MAX_AGENT:
        raise Misconfigured(f"agent: must have 1 to {MAX_AGENT} characters")
