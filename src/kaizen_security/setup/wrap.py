"""Wrap: put ``kaizen-mcp`` in front of configured servers, keep what was there, and undo it to the byte.

A file is replaced whole, with its mode. What it was is kept in the data directory, readable by its user only; where somebody edited
the file since, undoing takes out what was put in and leaves the rest.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.setup.clients import Place, Server, read, servers

AGENT = "KAIZEN_AGENT"


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to one file: ``servers`` that are changed, ``left`` alone with the reason."""

    place: Place
    servers: tuple[Server, ...]
    left: tuple[tuple[Server, str], ...]
    data: bytes
    after: bytes


def wrapping(place: Place, shim: str, *, agent: str = "") -> Change:
    """What wrapping the file's servers would change; writes nothing. Raises Misconfigured.

    ``shim``: the path of ``kaizen-mcp``. ``agent``: the name that the servers' calls are reported under, if not the settings'.
    """
    data, document = read(place.path)
    changed, left = [], []
    for server in servers(place, document):
        why = _why_left(server)
        if why:
            left.append((server, why))
            continue
        changed.append(server)
        _put(document, server.where, _wrapped(server, shim, agent))
    return Change(place, tuple(changed), tuple(left), data, written(document, data) if changed else data)


def unwrapping(place: Place, folder: str) -> Change:
    """What undoing would change; writes nothing. ``folder``: where ``write`` kept what was there. Raises Misconfigured."""
    data, document = read(place.path)
    changed = [server for server in servers(place, document) if server.wrapped]
    for server in changed:
        _put(document, server.where, _unwrapped(server))
    before = kept(folder, place.path)
    if (
        changed
        and before is not None
        and before[0] == hashlib.sha256(data).hexdigest()
        and not _any_wrapped(place, before[1])
    ):
        return Change(place, tuple(changed), (), data, before[1])
    return Change(place, tuple(changed), (), data, written(document, data) if changed else data)


def _any_wrapped(place: Place, data: bytes) -> bool:
    # Of a file that was wrapped twice, what was kept last is half wrapped.
    return any(server.wrapped for server in servers(place, json.loads(data.decode("utf-8-sig") or "{}")))


def write(change: Change, folder: str, *, keep: bool = True) -> None:
    """Put a change in force, after keeping what was there. Raises Misconfigured; then nothing was changed."""
    path = os.path.realpath(change.place.path)
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        if keep:
            replaced(_kept_at(folder, change.place.path), _record(change), 0o600)
        replaced(path, change.after, os.stat(path).st_mode & 0o777)
    except OSError as err:
        raise Misconfigured(f"cannot write {path}: {err.strerror}") from err


def _why_left(server: Server) -> str:
    if server.wrapped:
        return "wrapped already"
    if server.url:
        return "reached over HTTP: put `kaizen mcp gateway` in front of it"
    return "" if server.command else "nothing to start in it"


def _wrapped(server: Server, shim: str, agent: str) -> dict[str, Json]:
    entry = dict(server.entry)
    entry["command"] = shim
    entry["args"] = ["--name", server.name, "--", *server.command]
    if agent:
        environment = entry.get("env")
        entry["env"] = {**(environment if isinstance(environment, dict) else {}), AGENT: agent}
    return entry


def _unwrapped(server: Server) -> dict[str, Json]:
    words = list(server.command[1:])
    inner = words[words.index("--") + 1 :] if "--" in words else words
    entry = dict(server.entry)
    if not inner:
        return entry
    entry["command"], entry["args"] = inner[0], [*inner[1:]]
    environment = entry.get("env")
    if isinstance(environment, dict) and AGENT in environment:
        entry["env"] = {name: value for name, value in environment.items() if name != AGENT}
        if not entry["env"]:
            del entry["env"]
    return entry


def _put(document: dict[str, Json], where: tuple[str, ...], entry: Json) -> None:
    at = document
    for key in where[:-1]:
        below = at[key]
        assert isinstance(below, dict)
        at = below
    at[where[-1]] = entry


def written(document: Mapping[str, Json], like: bytes) -> bytes:
    """The document in the manner of the file: its indentation, and a line end at its end if it had one."""
    found = re.search(rb"\n([ \t]+)\S", like)
    indent = found[1].decode() if found else "  "
    text = json.dumps(document, ensure_ascii=False, indent=indent)
    return text.encode() + (b"\n" if like.endswith(b"\n") else b"")


def _record(change: Change) -> bytes:
    mark = hashlib.sha256(change.after).hexdigest()
    return json.dumps({"path": change.place.path, "after": mark, "before": change.data.decode("utf-8")}).encode()


def _kept_at(folder: str, path: str) -> str:
    return os.path.join(folder, hashlib.sha256(os.path.realpath(path).encode()).hexdigest()[:32] + ".json")


def kept(folder: str, path: str) -> tuple[str, bytes] | None:
    """The digest of what was written to ``path``, and what stood there before."""
    try:
        with open(_kept_at(folder, path), "rb") as file:
            document = json.load(file)
        return str(document["after"]), str(document["before"]).encode()
    except (OSError, ValueError, KeyError, TypeError):
        # Without it, undoing takes out what was put in.
        return None


def replaced(path: str, data: bytes, mode: int) -> None:
    """Write the file so that it is the old one or the new one, never half of it. Raises OSError."""
    made = f"{path}.{os.getpid()}.kaizen"
    fd = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        os.chmod(made, mode)
        os.replace(made, path)
    except OSError:
        os.unlink(made)
        raise
