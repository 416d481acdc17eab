"""Settings of the MCP room: what is read from the environment, and what of it a server does not get."""

from __future__ import annotations

import os
from collections.abc import Mapping

AGENT = "mcp-agent"
"""The agent's name when nothing says another."""
RUN = "KAIZEN_RUN"
"""Names the run that a shim's calls belong to."""
PINS = "KAIZEN_MCP_PINS"
"""Where pins are kept; without it in the data directory."""
LOCKED = "KAIZEN_MCP_LOCKED"
"""Set to anything but 0 or nothing: tools that are not pinned are held back, also at first use."""
APART = "KAIZEN_MCP_APART"
"""Whether clients keep the tools of several servers apart: 1 all of them, 0 none; without it those that are known to."""
SECRETS = frozenset({"KAIZEN_API_KEY", "KAIZEN_TENANT_KEY", "KAIZEN_ENC_KEY"})
"""Variables that a server does not inherit: it is what is being watched."""


def environment() -> Mapping[str, str]:
    """This process's environment."""
    return os.environ


def pins_folder(environment: Mapping[str, str], data: str) -> str:
    """Where pins are kept; empty: nowhere (there is no data directory)."""
    return environment.get(PINS, "") or (os.path.join(data, "mcp", "pins") if data else "")


def locked(environment: Mapping[str, str]) -> bool:
    """Whether nothing is trusted on first use."""
    return environment.get(LOCKED, "") not in ("", "0", "false", "no")


def for_server(environment: Mapping[str, str]) -> dict[str, str]:
    """What a server inherits: everything but our own keys."""
    return {name: value for name, value in environment.items() if name not in SECRETS}
