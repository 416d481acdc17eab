"""What the gateway stands before, and who may come: its settings file."""

from __future__ import annotations

import hashlib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field

from kaizen_security.contract.errors import Misconfigured

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """One server: reached at ``url``, or started by ``command`` with the variables ``env`` besides the gateway's own.

    ``headers`` go with every request to it. Neither they nor command and variables are shown anywhere.
    """

    name: str
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    command: tuple[str, ...] = field(default=(), repr=False)
    env: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def fields(self) -> dict[str, str]:
        """``headers`` with their names in small letters."""
        return {name.lower(): value for name, value in self.headers.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """``agents``: name by the SHA-256 of its key, in hex; empty: whoever reaches the port is ``mcp-agent``.

    ``origins``: web origins whose pages may call; none but the gateway's own by default
    """

    upstreams: Mapping[str, Upstream]
    agents: Mapping[str, str] = field(default_factory=dict)
    origins: frozenset[str] = frozenset()

    def agent(self, key: str, default: str) -> str:
        """Whose key it is; empty when it is nobody's."""
        if not self.agents:
            return default
        return self.agents.get(key_hash(key), "") if key else ""


def key_hash(key: str) -> str:
    """What is kept of an agent's key."""
    return hashlib.sha256(key.encode()).hexdigest()


def load(path: str, environment: Mapping[str, str]) -> Setup:
    """The settings in a TOML file. Raises Misconfigured naming the entry.

    ``[servers.NAME]`` has ``url`` and ``headers``, or ``command`` and ``env``; a value ``env:VARIABLE`` is that variable's.
    ``[agents]`` has names and the SHA-256 of their keys.
    """
    try:
        with open(path, "rb") as file:
            document = tomllib.load(file)
    except OSError as err:
        raise Misconfigured(f"cannot read {path}: {err.strerror}") from err
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise Misconfigured(f"{path} is not TOML: {err}") from err
    unknown = set(document) - {"servers", "agents", "origins"}
    servers, agents, origins = document.get("servers", {}), document.get("agents", {}), document.get("origins", [])
    if unknown:
        raise Misconfigured(f"{path}: unknown {', '.join(sorted(unknown))}; known are servers, agents and origins")
    if not isinstance(servers, dict) or not servers or not isinstance(agents, dict) or not isinstance(origins, list):
        raise Misconfigured(f"{path}: [servers.NAME] must name at least one server; agents is a table, origins a list")
    return Setup(
        upstreams={name: _upstream(path, name, entry, environment) for name, entry in servers.items()},
        agents={_hash(path, name, mark): _name(path, name) for name, mark in agents.items()},
        origins=frozenset(str(origin) for origin in origins),
    )


def one(said: str) -> Upstream:
    """``NAME=URL`` of the command line. Raises Misconfigured."""
    name, equals, url = said.partition("=")
    if not equals:
        raise Misconfigured(f"--server {said[:80]!r} must be NAME=URL")
    return Upstream(name=_name("--server", name), url=_url("--server", name, url))


def _upstream(path: str, name: str, entry: object, environment: Mapping[str, str]) -> Upstream:
    if isinstance(entry, dict) and set(entry) <= {"url", "headers"}:
        headers = _table(path, name, "headers", entry.get("headers", {}), environment)
        return Upstream(name=_name(path, name), url=_url(path, name, entry.get("url")), headers=headers)
    if isinstance(entry, dict) and set(entry) <= {"command", "env"}:
        command = entry.get("command")
        if not isinstance(command, list) or not command or not all(isinstance(word, str) and word for word in command):
            raise Misconfigured(f"{path}: servers.{name}.command must be a list of words")
        variables = _table(path, name, "env", entry.get("env", {}), environment)
        return Upstream(name=_name(path, name), command=tuple(command), env=variables)
    raise Misconfigured(f"{path}: servers.{name} must have url, and may have headers; or command, and may have env")


def _table(path: str, name: str, key: str, table: object, environment: Mapping[str, str]) -> dict[str, str]:
    """Names and texts; ``env:VARIABLE`` is that variable's value. Raises Misconfigured."""
    if not isinstance(table, dict) or not all(isinstance(value, str) for value in table.values()):
        raise Misconfigured(f"{path}: servers.{name}.{key} must be a table of texts")
    found = {}
    for field_, value in table.items():
        if value.startswith("env:"):
            variable = value.removeprefix("env:")
            value = environment.get(variable, "")
            if not value:
                raise Misconfigured(
                    f"{path}: servers.{name}.{key}.{field_} needs the variable {variable}, which is not set"
                )
        found[field_] = value
    return found


def _name(where: str, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise Misconfigured(f"{where}: {name[:80]!r} must be a name of letters, digits, dots, dashes and underscores")
    return name


def _url(where: str, name: str, url: object) -> str:
    if (
        not isinstance(url, str)
        or not re.match(r"https?://[^/\s]+", url)
        or "@" in url.partition("//")[2].partition("/")[0]
    ):
        raise Misconfigured(f"{where}: {name}: the url must start with http:// or https:// and hold no user name")
    return url


def _hash(path: str, name: str, mark: object) -> str:
    if not isinstance(mark, str) or not _HASH.fullmatch(mark):
        raise Misconfigured(
            f"{path}: agents.{name} must be the SHA-256 of its key in hex; `kaizen mcp key {name}` makes one"
        )
    return mark


def fresh_key() -> str:
    """A new key for an agent."""
    return "kzm_" + os.urandom(24).hex()
