"""Where ``kaizen attach`` entered hook commands, kept so that the sidecar can see whether they are still there."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import stat
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from kaizen_security.client.files import write_whole
from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import Misconfigured

MAX_FILE = 1 << 20
"""Bytes of a settings file that is read."""
MOST = 256
"""Notes that are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """``command`` stands in ``path`` for each of ``events``, asks the sidecar at ``socket`` and acts as ``agent``."""

    path: str
    assistant: str
    agent: str
    socket: str
    command: str
    events: tuple[str, ...]


def keep(folder: str, entered: Entered) -> None:
    """Note it in ``folder``, in the place of what was noted for the same file. Raises Misconfigured."""
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        write_whole(file_about(folder, entered.path), json.dumps(asdict(entered)).encode())
    except OSError as err:
        raise Misconfigured(f"cannot write to {folder}: {err.strerror}") from err


def forget(folder: str, path: str) -> None:
    """It was taken out on purpose: nobody misses it."""
    try:
        os.unlink(file_about(folder, path))
    except FileNotFoundError:
        pass
    except OSError as err:
        raise Misconfigured(f"cannot write to {folder}: {err.strerror}") from err


def noted(folder: str) -> tuple[Entered, ...]:
    """What is noted there; a note that cannot be read is left out."""
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".json"))
    except OSError:
        return ()
    return tuple(found for name in names[:MOST] if (found := _read(os.path.join(folder, name))) is not None)


def amiss(entered: Entered) -> str:
    """Why the assistant does not start the hook any more; empty when it is entered as it was. Names no path."""
    try:
        document: Json = json.loads(_bytes(entered.path).decode("utf-8-sig"))
        return _missing(document, entered)
    except FileNotFoundError:
        return "the settings file that its hook was entered into is gone"
    except (OSError, ValueError, RecursionError):
        return "the settings file that its hook was entered into cannot be read"


def _missing(document: Json, entered: Entered) -> str:
    if not isinstance(document, dict) or document.get("disableAllHooks") is True:
        return "its settings switch all hooks off"
    hooks = document.get("hooks")
    for event in entered.events:
        there = hooks.get(event) if isinstance(hooks, dict) else None
        if not any(_starts(one, entered.command) for one in (there if isinstance(there, list) else ())):
            return f"its hook is not entered for {event} any more"
    return "" if all(map(os.path.exists, _programs(entered.command))) else "the program of its hook is gone"


def _bytes(path: str) -> bytes:
    """What a file holds, at most ``MAX_FILE``. Raises OSError, also for what is no file: reading from a pipe would never end."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("not a file")
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_FILE)
    finally:
        os.close(descriptor)


def _starts(entry: Json, command: str) -> bool:
    """Whether a hook, or a group of hooks that is for every tool, starts that command."""
    if not isinstance(entry, dict) or entry.get("matcher") not in (None, "", "*"):
        return False
    inner = entry.get("hooks")
    return entry.get("command") == command or any(
        _starts(one, command) for one in (inner if isinstance(inner, list) else ())
    )


def _programs(command: str) -> Iterable[str]:
    """The interpreter and the hook's file, which follows its flags."""
    try:
        words = shlex.split(command)
    except ValueError:
        return ()
    return words[:1] + [word for word in words[1:] if word.endswith(".py")][:1]


def file_about(folder: str, path: str) -> str:
    """Where in ``folder`` stands what is kept of the file at ``path``."""
    return os.path.join(folder, hashlib.sha256(os.path.realpath(path).encode()).hexdigest()[:32] + ".json")


def _read(path: str) -> Entered | None:
    try:
        document = json.loads(_bytes(path))
        found = Entered(**{**document, "events": tuple(map(str, document["events"]))})
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    texts = found.path, found.assistant, found.agent, found.socket, found.command
    return found if all(type(one) is str and one for one in texts) else None
