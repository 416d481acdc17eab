"""Shelf: pins on disk, one file a server, shared by every shim and gateway of the user.

Files are replaced whole, changes are made under a lock, and a file that cannot be read holds everything back: pins that a
broken disk or another hand took away must not turn into a new first use.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from kaizen_security.client.files import write_whole
from kaizen_security.client.lock import locked_within
from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import InvalidInput, Misconfigured
from kaizen_security.contract.fields import obj, parse
from kaizen_security.mcp.pins import Held, Pinned, Pins, Why

FORMAT = 1
MAX_FILE = 64 << 20
PATIENCE = 10.0
"""Seconds that another process may take over its change of the pins."""


class Shelf:
    """Pins in ``folder``; empty: in memory only."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._memory: dict[str, Pins] = {}
        self._paths: dict[str, str] = {}

    def pins(self, server: str) -> Pins:
        """What is pinned of ``server``. Raises Misconfigured for a file that cannot be read."""
        if not self.folder:
            return self._memory.get(server, Pins(server=server))
        return self._read(self._path(server)) or Pins(server=server)

    def change(self, server: str, change: Callable[[Pins], Pins]) -> Pins:
        """Replace a server's pins by ``change`` of them; nobody else changes them meanwhile. Raises Misconfigured."""
        if not self.folder:
            self._memory[server] = change(self.pins(server))
            return self._memory[server]
        with self._locked():
            before = self.pins(server)
            after = change(before)
            if after != before:
                self._write(self._path(server), encoded(after))
            return after

    def forget(self, server: str) -> bool:
        """Forget a server: its next list is a first use. False when nothing was pinned of it."""
        if not self.folder:
            return self._memory.pop(server, None) is not None
        with self._locked():
            try:
                os.unlink(self._path(server))
            except FileNotFoundError:
                return False
            return True

    def all(self) -> Iterator[Pins]:
        """The pins of every server, by name. Raises Misconfigured."""
        yield from sorted(self._all(), key=lambda pins: pins.server)

    def _all(self) -> Iterator[Pins]:
        yield from self._memory.values()
        try:
            names = os.listdir(self.folder) if self.folder else []
        except FileNotFoundError:
            names = []
        except OSError as err:
            raise Misconfigured(f"the pins in {self.folder} cannot be read: {err.strerror}") from err
        for name in names:
            if name.endswith(".json"):
                pins = self._read(os.path.join(self.folder, name))
                if pins is not None:
                    yield pins

    def mark(self, server: str) -> object:
        """Something that is another when the server's pins have changed on disk."""
        try:
            found = os.stat(self._path(server))
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _path(self, server: str) -> str:
        path = self._paths.get(server)
        if path is None:
            path = os.path.join(self.folder, hashlib.sha256(server.encode()).hexdigest()[:32] + ".json")
            self._paths[server] = path
        return path

    def _read(self, path: str) -> Pins | None:
        try:
            with open(path, "rb") as file:
                return decoded(parse(file.read(MAX_FILE), limit=MAX_FILE))
        except FileNotFoundError:
            return None
        except OSError as err:
            raise Misconfigured(f"cannot read the pins in {path}: {err.strerror}") from err
        except InvalidInput as err:
            raise Misconfigured(
                f"the pins in {path} are damaged ({err}); restore the file, or delete it to start anew"
            ) from err

    @staticmethod
    def _write(path: str, document: Json) -> None:
        data = json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n"
        if len(data) > MAX_FILE:
            # It could not be read again, and what cannot be read holds back the tools of every server.
            raise Misconfigured(f"the pins in {path} would be more than {MAX_FILE >> 20} MB")
        try:
            write_whole(path, data)
        except OSError as err:
            raise Misconfigured(f"cannot write the pins in {path}: {err.strerror}") from err

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            os.makedirs(self.folder, mode=0o700, exist_ok=True)
            fd = os.open(os.path.join(self.folder, "lock"), os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as err:
            raise Misconfigured(f"cannot keep pins in {self.folder}: {err.strerror}") from err
        try:
            if not locked_within(fd, PATIENCE):
                raise Misconfigured(
                    f"cannot change the pins in {self.folder}: another process has had them for {PATIENCE:g} s"
                )
            yield
        finally:
            os.close(fd)


# --- documents ----------------------------------------------------------------------------------------------------------


def encoded(pins: Pins) -> dict[str, Json]:
    """The pins as a document."""
    return {
        "format": FORMAT,
        "server": pins.server,
        "calls_itself": pins.calls_itself,
        "instructions": pins.instructions,
        "tools": {
            name: {"digest": one.digest, "at": one.at, "definition": one.definition} for name, one in pins.tools.items()
        },
        "held": {
            name: {
                "digest": one.digest,
                "at": one.at,
                "why": one.why.name,
                "said": list(one.said),
                "definition": one.definition,
            }
            for name, one in pins.held.items()
        },
        "accepted": [*sorted(pins.accepted)],
    }


def decoded(document: Json) -> Pins:
    """The pins in a document. Raises InvalidInput naming the field."""
    doc = obj(document, "pins")
    if doc.get("format") != FORMAT:
        raise InvalidInput("pins.format", f"must be {FORMAT}")
    tools = obj(doc.get("tools"), "pins.tools")
    held = obj(doc.get("held"), "pins.held")
    accepted = doc.get("accepted")
    return Pins(
        server=_text(doc, "server"),
        calls_itself=_text(doc, "calls_itself"),
        instructions=_text(doc, "instructions"),
        tools={name: _pinned(one, f"pins.tools.{name}") for name, one in tools.items()},
        held={name: _held(one, f"pins.held.{name}") for name, one in held.items()},
        accepted=frozenset(str(one) for one in accepted) if isinstance(accepted, list) else frozenset(),
    )


def _pinned(document: Json, field: str) -> Pinned:
    doc = obj(document, field)
    return Pinned(doc.get("definition"), _text(doc, "digest", field), _at(doc))


def _held(document: Json, field: str) -> Held:
    doc = obj(document, field)
    why = _text(doc, "why", field)
    if why not in Why.__members__:
        raise InvalidInput(f"{field}.why", "is no reason to hold a tool")
    said = doc.get("said")
    sentences = tuple(str(one) for one in said) if isinstance(said, list) else ()
    return Held(doc.get("definition"), _text(doc, "digest", field), Why[why], sentences, _at(doc))


def _text(doc: dict[str, Json], key: str, field: str = "pins") -> str:
    value = doc.get(key)
    if not isinstance(value, str):
        raise InvalidInput(f"{field}.{key}", "must be text")
    return value


def _at(doc: dict[str, Json]) -> float:
    value = doc.get("at")
    return float(value) if isinstance(value, int | float) else 0.0
