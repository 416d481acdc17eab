"""Where the settings come from: flags win over the environment, that over the file, that over the defaults."""

from __future__ import annotations

import argparse
import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

from kaizen_security.client.config import default_data
from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.egress.settings import Config
from kaizen_security.egress.values import from_values

__all__ = ["Config", "add_arguments", "data_folder", "environment", "from_values", "load", "read_file"]

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
    """``KAIZEN_DATA/egress``, by default under the user's data directory; of a user without a home below /tmp."""
    base = environ.get("KAIZEN_DATA") or default_data(environ) or "/tmp/.local/share/kaizen"  # noqa: S108
    return Path(base) / "egress"


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
