"""Whose: which client a message comes from, and whether it keeps the tools of several servers apart.

A client that does gives the model each tool under its server's name, so a call says which server it is for, and a tool of the same
name takes none of another's calls. Names are the clients' own (``clientInfo``). Believing them loosens nothing that a server could
use: the client is the side that is protected.
"""

from __future__ import annotations

from collections.abc import Container, Mapping

from kaizen_security.mcp.frames import Message

CLIENT_KEY = "io.modelcontextprotocol/clientInfo"
"""Where a client says its name with each request from 2026-07-28 on."""
KEEP_APART = frozenset({"claude-code", "claude-ai", "cursor-vscode", "Visual Studio Code", "codex-mcp-client"})
"""Clients that are known to, as of November 2026."""


class _Everybody:
    def __contains__(self, name: object) -> bool:
        return True


def keep_apart(said: str) -> Container[str]:
    """The clients that keep servers apart: ``1`` all of them, ``0`` none, nothing those that are known to."""
    if said in ("0", "false", "no"):
        return frozenset()
    return _Everybody() if said else KEEP_APART


def client_of(message: Message) -> str:
    """The client's own name, where the message says it."""
    params = message.params
    if not isinstance(params, Mapping):
        return ""
    meta = params.get("_meta")
    info = params.get("clientInfo", meta.get(CLIENT_KEY) if isinstance(meta, Mapping) else None)
    name = info.get("name") if isinstance(info, Mapping) else None
    return name if isinstance(name, str) else ""
