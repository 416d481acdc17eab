"""``kaizen attach ASSISTANT``: have a coding assistant ask before each of its tools (docs/how-to/coding-assistants.md)."""

from __future__ import annotations

import argparse
import difflib
import os
import sys

from kaizen_security.client.config import Settings, load
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.setup.entered import Entered, forget, keep
from kaizen_security.setup.hooks import ASSISTANTS, MARK, attaching, command, detaching, put
from kaizen_security.setup.wrap import Change


def run(args: argparse.Namespace) -> int:
    """``kaizen attach ASSISTANT``: show the change, or put it in force."""
    assistant = ASSISTANTS[args.assistant]
    home = os.path.abspath(args.folder) if args.folder else os.path.expanduser("~")
    path = os.path.join(home, assistant.project if args.folder else assistant.user)
    if args.folder:
        _stays(path, home)
    settings = load({})
    folder, notes = (os.path.join(settings.data or ".", "attach", name) for name in ("before", "entered"))
    if args.undo:
        if args.write:
            forget(notes, path)  # first: the sidecar would miss a hook that is taken out
        if not os.path.exists(path):
            print(f"{path}: there is no such file, so nothing to undo.")
            return 0
        _put(detaching(assistant, path, folder), folder, args)
        return 0
    entered = Entered(
        path=path,
        assistant=args.assistant,
        agent=args.agent or args.assistant,
        socket=args.socket or _socket(settings.sidecar, settings.data),
        command=_command(args, settings),
        events=assistant.events,
    )
    change = attaching(assistant, path, entered.command, patience=args.hold + 10, closed=args.enforce)
    _put(change, folder, args)
    if args.write:
        keep(notes, entered)
        print(assistant.then, end="\n" if assistant.then else "")
    return 0


def _stays(path: str, folder: str) -> None:
    """Raises Misconfigured for a link out of the project, whose author would choose which other file is written."""
    real = os.path.realpath(path)
    if os.path.commonpath([real, os.path.realpath(folder)]) != os.path.realpath(folder):
        raise Misconfigured(f"{path} leads to {real}, outside of the project: it is left alone")


def _put(change: Change, folder: str, args: argparse.Namespace) -> None:
    path = change.place.path
    if change.after == change.data:
        print(f"{path}: nothing to change.")
        return
    print(_shown(change))
    if not args.write:
        back = "." if args.undo else "; `--undo --write` takes it back."
        print(f"Nothing was written. With --write, {path} is changed like this{back}")
        return
    put(change, folder, keep=not args.undo)
    print(f"Done: {path} is as it was." if args.undo else f"Done. What {path} was is kept under {folder}.")


def _command(args: argparse.Namespace, settings: Settings) -> str:
    flags = {
        "socket": args.socket or _socket(settings.sidecar, settings.data),
        "agent": args.agent or args.assistant,
        "mode": "enforce" if args.enforce else "observe",
        "hold": str(args.hold),
        "source": args.assistant,
    }
    return command(sys.executable, _hook(), flags)


def _hook() -> str:
    # By its place: it is started by that, and never imported.
    return os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), MARK)


def _socket(sidecar: str, data: str) -> str:
    if sidecar.startswith("unix://"):
        return sidecar.removeprefix("unix://")
    return os.path.join(data or ".", "sidecar", "kaizen.sock")


def _shown(change: Change) -> str:
    before, after = (text.decode("utf-8-sig").splitlines() for text in (change.data, change.after))
    lines = difflib.unified_diff(before, after, change.place.path, change.place.path, lineterm="")
    # A project's file is its author's: it neither drives the terminal nor hides what stands in it.
    return "\n".join("".join(c if c.isprintable() or c == "\t" else f"<{ord(c):04x}>" for c in line) for line in lines)
