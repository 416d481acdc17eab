"""``kaizen attach ASSISTANT``: have a coding assistant ask before each of its tools (docs/how-to/coding-assistants.md)."""

from __future__ import annotations

import argparse
import difflib
import os
import sys

from kaizen_security.client.config import load
from kaizen_security.setup.hooks import ASSISTANTS, MARK, attaching, command, detaching, put
from kaizen_security.setup.wrap import Change


def run(args: argparse.Namespace) -> int:
    """``kaizen attach ASSISTANT``: show the change, or put it in force."""
    assistant = ASSISTANTS[args.assistant]
    home = os.path.abspath(args.folder) if args.folder else os.path.expanduser("~")
    path = os.path.join(home, assistant.project if args.folder else assistant.user)
    settings = load({})
    folder = os.path.join(settings.data or ".", "attach", "before")
    if args.undo:
        if not os.path.exists(path):
            print(f"{path}: there is no such file, so nothing to undo.")
            return 0
        change = detaching(assistant, path, folder)
    else:
        flags = {
            "socket": args.socket or _socket(settings.sidecar, settings.data),
            "agent": args.agent or args.assistant,
            "mode": "enforce" if args.enforce else "observe",
            "hold": str(args.hold),
            "source": args.assistant,
        }
        line = command(sys.executable, _hook(), flags)
        change = attaching(assistant, path, line, patience=args.hold + 10)
    if change.after == change.data:
        print(f"{path}: nothing to change.")
        return 0
    print(_shown(change))
    if not args.write:
        print(f"Nothing was written. With --write, {path} is changed like this; `--undo --write` takes it back.")
        return 0
    put(change, folder, keep=not args.undo)
    print(f"Done. What {path} was is kept under {folder}." if not args.undo else f"Done: {path} is as it was.")
    return 0


def _hook() -> str:
    # By its place: it is started by that, and never imported.
    return os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), MARK)


def _socket(sidecar: str, data: str) -> str:
    if sidecar.startswith("unix://"):
        return sidecar.removeprefix("unix://")
    return os.path.join(data or ".", "sidecar", "kaizen.sock")


def _shown(change: Change) -> str:
    before, after = (text.decode("utf-8-sig").splitlines() for text in (change.data, change.after))
    return "\n".join(difflib.unified_diff(before, after, change.place.path, change.place.path, lineterm=""))
