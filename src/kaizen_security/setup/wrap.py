"""Wrap: put ``kaizen-mcp`` in front of configured servers, keep what was there, and undo it to the byte.

Only what has to change is edited, so comments, order and spelling stay. A file is replaced whole, with its mode and owner. What it
was is kept in the data directory, readable by its user only; where somebody edited the file since, undoing takes out what was put
in and leaves the rest.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass

from kaizen_security.client.files import write_whole
from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.setup.clients import File, Place, Server, of, read, servers
from kaizen_security.setup.entered import file_about

AGENT = "KAIZEN_AGENT"
_ENV = re.compile(r',\s*"env"\s*:\s*\Z')


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
    file = read(place.path)
    _guard(place.path)
    changed: list[Server] = []
    left: list[tuple[Server, str]] = []
    edits: list[_Edit] = []
    for server in servers(place, file.document):
        why = _why_left(server)
        if why:
            left.append((server, why))
            continue
        changed.append(server)
        edits += _wrapped(file, server, shim, agent)
    return Change(place, tuple(changed), tuple(left), file.data, _edited(file, edits))


def unwrapping(place: Place, folder: str) -> Change:
    """What undoing would change; writes nothing. ``folder``: where ``write`` kept what was there. Raises Misconfigured."""
    file = read(place.path)
    _guard(place.path)
    changed = [server for server in servers(place, file.document) if server.wrapped and _inner(server)]
    before = kept(folder, place.path)
    if (
        changed
        and before is not None
        and before[0] == hashlib.sha256(file.data).hexdigest()
        and not _any_wrapped(place, before[1])
    ):
        return Change(place, tuple(changed), (), file.data, before[1])
    edits = [edit for server in changed for edit in _unwrapped(file, server)]
    return Change(place, tuple(changed), (), file.data, _edited(file, edits))


def _any_wrapped(place: Place, data: bytes) -> bool:
    # Of a file that was wrapped twice, what was kept last is half wrapped.
    return any(server.wrapped for server in servers(place, of(place.path, data).document))


def write(change: Change, folder: str, *, keep: bool = True) -> None:
    """Put a change in force, after keeping what was there. Raises Misconfigured; then nothing was changed."""
    path = os.path.realpath(change.place.path)
    _guard(path)
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        if keep:
            write_whole(file_about(folder, change.place.path), _record(change))
        write_whole(path, change.after, mode=os.stat(path).st_mode & 0o777, like=path)
    except OSError as err:
        raise Misconfigured(f"cannot write {path}: {err.strerror}") from err


def _guard(path: str) -> None:
    """Raises Misconfigured for a file that its owner made read-only: a name that can be replaced is not yet one that may be."""
    if not os.stat(path).st_mode & 0o222:
        raise Misconfigured(f"{path} is read-only: it is left alone")


def _why_left(server: Server) -> str:
    if server.wrapped:
        return "wrapped already"
    if server.url:
        return "reached over HTTP: put `kaizen mcp gateway` in front of it"
    if not server.command:
        return "nothing to start in it"
    words = server.entry.get("args", [])
    plain = isinstance(words, list) and len(server.command) == 1 + len(words)
    return "" if plain else "its arguments are not all text"


# --- edits: start, end, and what stands there afterwards -------------------------------------------------------------------

_Edit = tuple[int, int, str]


def _edited(file: File, edits: list[_Edit]) -> bytes:
    """The file's bytes with the edits made; everything else in it stays as it is."""
    text = file.text
    for start, end, instead in sorted(edits, reverse=True):
        text = text[:start] + instead + text[end:]
    return text.encode(file.encoding)


def _wrapped(file: File, server: Server, shim: str, agent: str) -> Iterator[_Edit]:
    start, end = file.spans[*server.where, "command"]
    before = _text(["--name", server.name, "--", server.command[0]])[1:-1]
    more = ""
    if "args" in server.entry:
        at = file.spans[*server.where, "args"][0] + 1
        yield at, at, before + (", " if server.command[1:] else "")
    else:
        more = f', "args": [{before}]'
    if agent:
        own = _text(agent)
        environment = server.entry.get("env")
        if (named := file.spans.get((*server.where, "env", AGENT))) is not None:
            yield *named, own
        elif isinstance(environment, dict):
            at = file.spans[*server.where, "env"][0] + 1
            yield at, at, f'"{AGENT}": {own}' + (", " if environment else "")
        else:
            more += f', "env": {{"{AGENT}": {own}}}'
    yield start, end, _text(shim) + more


def _inner(server: Server) -> tuple[str, ...]:
    """What the shim starts; empty when that is nothing."""
    words = server.command[1:]
    return words[words.index("--") + 1 :] if "--" in words else words


def _unwrapped(file: File, server: Server) -> Iterator[_Edit]:
    inner = _inner(server)
    yield *file.spans[*server.where, "command"], _text(inner[0])
    first = len(server.command) - len(inner)  # of the arguments, the one after the inner command
    arguments = (*server.where, "args")
    start = file.spans[*arguments, 0][0]
    yield start, file.spans[*arguments, first][0] if len(inner) > 1 else file.spans[*arguments, first - 1][1], ""
    environment = server.entry.get("env")
    if isinstance(environment, dict) and AGENT in environment:
        others = [file.spans[*server.where, "env", name] for name in environment if name != AGENT]
        named = file.spans[*server.where, "env", AGENT]
        # Where it was put in: first, up to the key after it. Elsewhere its user named it, and it stays.
        text, end = file.text, file.spans[*server.where, "env"]
        if not others:
            key = _ENV.search(text, max(0, end[0] - 200), end[0])
            yield key.start() if key else end[0], end[1], "" if key else "{}"
        elif all(named < other for other in others):
            yield end[0] + 1, text.index('"', named[1] + 1), ""


def _text(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)


def _record(change: Change) -> bytes:
    mark = hashlib.sha256(change.after).hexdigest()
    before = base64.b64encode(change.data).decode()
    return json.dumps({"path": change.place.path, "after": mark, "before64": before}).encode()


def kept(folder: str, path: str) -> tuple[str, bytes] | None:
    """The digest of what was written to ``path``, and what stood there before."""
    try:
        with open(file_about(folder, path), "rb") as file:
            document = json.load(file)
        before = document.get("before64")
        # Until November 2026 it was kept as text.
        return str(document["after"]), str(document["before"]).encode() if before is None else base64.b64decode(before)
    except (OSError, ValueError, KeyError, TypeError):
        # Without it, undoing takes out what was put in.
        return None
