"""Look: what is amiss in how MCP servers are configured. Reads the files, starts nothing, shows no argument and no value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from kaizen_security.setup.clients import Server

_PACKAGE_RUNNERS = frozenset({"npx", "bunx", "uvx", "pipx", "pnpm", "yarn", "deno"})
_SHELLS = frozenset({"sh", "bash", "zsh", "cmd", "cmd.exe", "powershell", "pwsh"})
_SECRET = re.compile(r"key|token|secret|password|passwd|credential", re.IGNORECASE)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def amiss(server: Server) -> Iterator[str]:
    """One sentence for each thing. Empty when all is well."""
    if server.url:
        yield from _reached(server.url)
    elif not server.command:
        yield "it cannot be understood: there is neither a command nor a url"
    else:
        yield from _started(server)
    environment = server.entry.get("env")
    if isinstance(environment, dict):
        secrets = sorted(
            name
            for name, value in environment.items()
            if _SECRET.search(name) and isinstance(value, str) and "${" not in value
        )
        if secrets:
            yield f"secrets stand in the file: {', '.join(secrets)[:200]}"


def _reached(url: str) -> Iterator[str]:
    try:
        parts = urlsplit(url)
        plain = parts.scheme == "http" and parts.hostname not in _LOOPBACK
    except ValueError:
        yield "its url cannot be read"
        return
    if plain:
        yield "it is reached over plain HTTP"
    yield "nothing stands before it: put `kaizen mcp gateway` there"


def _started(server: Server) -> Iterator[str]:
    if not server.wrapped:
        yield "nothing stands before it: `kaizen mcp wrap`"
    words = server.command
    if server.wrapped and "--" in words:
        words = words[words.index("--") + 1 :]
    program = re.split(r"[/\\]", words[0])[-1].lower() if words else ""
    if program in _PACKAGE_RUNNERS and not _pinned(words[1:]):
        yield f"{program} takes whatever version is newest each time it starts: name one"
    if program in _SHELLS and len(words) > 1:
        yield "a shell starts it: what it runs depends on more than this line"


def _pinned(words: tuple[str, ...]) -> bool:
    package = next((word for word in words if not word.startswith("-") and word not in ("run", "dlx", "exec", "x")), "")
    _, at, version = package.removeprefix("@").partition("@")
    return bool((at and version not in ("", "latest")) or "==" in package or package.startswith((".", "/", "file:")))
