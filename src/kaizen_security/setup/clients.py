"""Clients: where common MCP clients keep their configuration, and which servers stand in it.

Claude Desktop, Claude Code, Cursor, VS Code; each user-wide and in a project's folder.
"""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.setup.jsonc import Path, Span, parsed

MAX_FILE = 16 << 20
_MARKS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_MARK = "\ufeff"
"""The mark of byte order, which editors on Windows begin a file with; it stays."""


@dataclass(frozen=True, slots=True)
class Place:
    """A configuration file that may be there. ``key``: under which its servers stand."""

    client: str
    path: str
    key: str = "mcpServers"


@dataclass(frozen=True, slots=True)
class Server:
    """One configured server. ``entry`` holds its arguments and environment, which are shown nowhere.

    ``where``: the keys that lead to it in the file
    """

    place: Place
    name: str
    where: tuple[str, ...]
    entry: Mapping[str, Json] = field(repr=False)

    @property
    def command(self) -> tuple[str, ...]:
        """What is started; empty for one that is reached over HTTP, or that cannot be understood."""
        command, words = self.entry.get("command"), self.entry.get("args", [])
        if not isinstance(command, str) or not command or not isinstance(words, list):
            return ()
        return (command, *(word for word in words if isinstance(word, str)))

    @property
    def url(self) -> str:
        """Where it is reached; empty for one that is started."""
        url = self.entry.get("url", self.entry.get("serverUrl"))
        return url if isinstance(url, str) else ""

    @property
    def wrapped(self) -> bool:
        """Whether it is started through ``kaizen-mcp`` already."""
        return bool(self.command) and os.path.basename(self.command[0]).removesuffix(".exe") == "kaizen-mcp"


def places(environment: Mapping[str, str], folder: str) -> tuple[Place, ...]:
    """Every file that may be there; ``folder`` is the project's."""
    home = environment.get("HOME") or os.path.expanduser("~")
    if sys.platform == "darwin":
        data = os.path.join(home, "Library", "Application Support")
    elif sys.platform == "win32":
        data = environment.get("APPDATA", os.path.join(home, "AppData", "Roaming"))
    else:
        data = environment.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    found = (
        Place("Claude Desktop", os.path.join(data, "Claude", "claude_desktop_config.json")),
        Place("Claude Code", os.path.join(home, ".claude.json")),
        Place("Claude Code", os.path.join(folder, ".mcp.json")),
        Place("Cursor", os.path.join(home, ".cursor", "mcp.json")),
        Place("Cursor", os.path.join(folder, ".cursor", "mcp.json")),
        Place("VS Code", os.path.join(data, "Code", "User", "mcp.json"), "servers"),
        Place("VS Code", os.path.join(folder, ".vscode", "mcp.json"), "servers"),
    )
    # In the home folder, the user's file is the project's as well.
    return tuple({os.path.normpath(place.path): place for place in found}.values())


@dataclass(frozen=True, slots=True)
class File:
    """A configuration file as it is: its bytes, its text and the text's encoding, its document and where each value stands."""

    data: bytes = field(repr=False)
    text: str = field(repr=False)
    encoding: str
    document: Mapping[str, Json] = field(repr=False)
    spans: Mapping[Path, Span] = field(repr=False)


def read(path: str) -> File:
    """A configuration file, also with comments, in UTF-8 or UTF-16. Raises Misconfigured for one that cannot be understood."""
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as err:
        raise Misconfigured(f"cannot read {path}: {err.strerror}") from err
    if len(data) > MAX_FILE:
        raise Misconfigured(f"{path} has more than {MAX_FILE >> 20} MB: it is left alone")
    return of(path, data)


def of(path: str, data: bytes) -> File:
    """The file with these bytes. Raises Misconfigured."""
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
        begin = text.startswith(_MARK)
        document, spans = parsed(text[begin:] if text[begin:].strip() else "{}")
    except UnicodeDecodeError as err:
        raise Misconfigured(f"{path} is neither UTF-8 nor UTF-16: it is left alone") from err
    except ValueError as err:
        raise Misconfigured(f"{path}: {err}; it is left alone; mend it, or make the change by hand") from err
    if not isinstance(document, dict):
        raise Misconfigured(f"{path} holds no object: it is left alone")
    moved = {at: (start + begin, end + begin) for at, (start, end) in spans.items()}
    return File(data, text, encoding, document, moved)


def servers(place: Place, document: Mapping[str, Json]) -> Iterator[Server]:
    """The servers in a document: at its top, and, in Claude Code's own file, in each project."""
    yield from _under(place, document, (place.key,))
    projects = document.get("projects")
    if isinstance(projects, dict):
        for project, entry in projects.items():
            if isinstance(entry, dict):
                yield from _under(place, entry, ("projects", project, place.key))


def _under(place: Place, document: Mapping[str, Json], where: tuple[str, ...]) -> Iterator[Server]:
    found = document.get(place.key)
    if isinstance(found, dict):
        for name, entry in found.items():
            if isinstance(entry, dict):
                yield Server(place, name, (*where, name), entry)
