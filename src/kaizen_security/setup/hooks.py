"""Hooks: enter Kaizen's hook command into a coding assistant's configuration, keep what was there, and undo it to the byte."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from kaizen_security.client.files import write_whole
from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.setup.clients import Place, read
from kaizen_security.setup.wrap import Change, kept, write

MARK = os.path.join("integrations", "hook.py")
"""What every hook of ours has in its command."""


@dataclass(frozen=True, slots=True)
class Assistant:
    """``events`` in its own words; ``nested``: they hold groups of hooks with a matcher; ``seconds``: times are in seconds.
    ``closing``: those of which it can be told that a hook that breaks is a denial; elsewhere it goes on.
    ``then``: what its user still has to do.
    """

    name: str
    user: str
    project: str
    events: tuple[str, ...]
    nested: bool
    seconds: bool
    closing: tuple[str, ...] = ()
    then: str = ""


ASSISTANTS = {
    "claude-code": Assistant(
        "Claude Code",
        ".claude/settings.json",
        ".claude/settings.local.json",
        ("PreToolUse", "PostToolUse", "PostToolUseFailure", "UserPromptSubmit", "SessionEnd"),
        nested=True,
        seconds=True,
    ),
    "codex": Assistant(
        "Codex",
        ".codex/hooks.json",
        ".codex/hooks.json",
        ("PreToolUse", "PostToolUse", "UserPromptSubmit", "SessionEnd"),
        nested=True,
        seconds=True,
        then="Codex runs a hook only once you have trusted it: start it and look at /hooks.",
    ),
    "copilot-cli": Assistant(
        "Copilot CLI",
        ".copilot/hooks/kaizen.json",
        ".github/hooks/kaizen.json",
        ("PreToolUse", "PostToolUse", "PostToolUseFailure", "UserPromptSubmit", "SessionEnd"),
        nested=True,
        seconds=True,
    ),
    "cursor": Assistant(
        "Cursor",
        ".cursor/hooks.json",
        ".cursor/hooks.json",
        (
            "preToolUse",
            "postToolUse",
            "postToolUseFailure",
            "beforeShellExecution",
            "beforeMCPExecution",
            "beforeReadFile",
            "afterShellExecution",
            "afterMCPExecution",
            "beforeSubmitPrompt",
            "sessionEnd",
        ),
        nested=False,
        seconds=True,
        # Not preToolUse: there our consent is an answer without a decision, which may count as none.
        closing=("beforeShellExecution", "beforeMCPExecution", "beforeReadFile"),
    ),
    "gemini-cli": Assistant(
        "Gemini CLI",
        ".gemini/settings.json",
        ".gemini/settings.json",
        ("BeforeTool", "AfterTool", "BeforeAgent", "SessionEnd"),
        nested=True,
        seconds=False,
    ),
}
"""By the name that ``kaizen attach`` takes. Places: under the home directory, and under a project's folder."""


def command(python: str, hook: str, settings: Mapping[str, str]) -> str:
    """The command line of the hook. ``settings``: its flags without the dashes."""
    flags = [word for name, value in settings.items() for word in (f"--{name}", value)]
    return shlex.join([python, "-I", "-S", hook, *flags])


def attaching(assistant: Assistant, path: str, command: str, *, patience: int, closed: bool = False) -> Change:
    """What entering ``command`` would change; writes nothing. ``patience``: seconds that the assistant is to wait for it.
    ``closed``: where it can be told so, a hook that breaks or is too late is a denial.

    Raises Misconfigured for a file that cannot be read, or whose comments would be lost.
    """
    data, document = _plain(path) if os.path.exists(path) else (b"", {})
    hooks = document.setdefault("hooks", {})
    if not isinstance(hooks, dict):
        raise Misconfigured(f"{path}: hooks is no object: it is left alone")
    if not assistant.nested:
        document.setdefault("version", 1)
    hook: dict[str, Json] = {"command": command, "timeout": patience if assistant.seconds else patience * 1000}
    entry: dict[str, Json] = {"hooks": [{"type": "command", **hook}]} if assistant.nested else hook
    for event in assistant.events:
        there = hooks.get(event, [])
        if not isinstance(there, list):
            raise Misconfigured(f"{path}: hooks.{event} is no list: it is left alone")
        entered = {**entry, "failClosed": True} if closed and event in assistant.closing else entry
        hooks[event] = [entered, *(one for one in there if not _ours(one))]
    return Change(Place(assistant.name, path), (), (), data, written(document, data))


def detaching(assistant: Assistant, path: str, folder: str) -> Change:
    """What undoing would change; writes nothing. ``folder``: where ``put`` kept what was there. Raises Misconfigured."""
    data, document = _plain(path)
    before = kept(folder, path)
    if before is not None and before[0] == hashlib.sha256(data).hexdigest() and MARK.encode() not in before[1]:
        return Change(Place(assistant.name, path), (), (), data, before[1])
    hooks = document.get("hooks")
    if isinstance(hooks, dict):
        for event, there in list(hooks.items()):
            if isinstance(there, list):
                hooks[event] = [one for one in there if not _ours(one)]
                if not hooks[event]:
                    del hooks[event]
        if not hooks:
            del document["hooks"]
    return Change(Place(assistant.name, path), (), (), data, written(document, data))


def put(change: Change, folder: str, *, keep: bool) -> None:
    """Put a change in force; a file that was not there before is made, and undone it goes away again. Raises Misconfigured."""
    path = os.path.realpath(change.place.path)
    try:
        if not change.after:
            os.unlink(path)
            return
        if not os.path.exists(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            write_whole(path, change.data)
    except OSError as err:
        raise Misconfigured(f"cannot write {path}: {err.strerror}") from err
    write(change, folder, keep=keep)


def _plain(path: str) -> tuple[bytes, dict[str, Json]]:
    """A file's bytes and its document. Raises Misconfigured for one that would lose something when it is written anew."""
    file = read(path)
    try:
        document: Json = json.loads(file.data.decode("utf-8-sig") or "{}")
        # What Python reads and could not write (1e400, half a pair of surrogates) would take every other setting with it.
        json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as err:
        raise Misconfigured(f"{path} is no plain JSON (comments, or a value that is none): it is left alone") from err
    assert isinstance(document, dict)
    return file.data, document


def written(document: Mapping[str, Json], like: bytes) -> bytes:
    """The document in the manner of the file: its indentation, and a line end at its end if it had one."""
    found = re.search(rb"\n([ \t]+)\S", like)
    indent = found[1].decode() if found else "  "
    text = json.dumps(document, ensure_ascii=False, indent=indent)
    return text.encode() + (b"\n" if like.endswith(b"\n") else b"")


def _ours(entry: Json) -> bool:
    """Whether a hook, or every hook of a group, is ours."""
    if not isinstance(entry, dict):
        return False
    inner = entry.get("hooks")
    if isinstance(inner, list) and inner:
        return all(map(_ours, inner))
    found = entry.get("command")
    return isinstance(found, str) and MARK in found
