"""``kaizen attach``: hold an agent that runs already, from below, until it ends or Ctrl-C; ``--detach`` what a killed run left.

``kaizen attach ASSISTANT``: have a coding assistant ask before each of its tools (``setup.assistants``).
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from kaizen_security.contract.action import Action
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.contract.verdict import Mode, Verdict


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    from kaizen_security.setup.hooks import ASSISTANTS

    who = add_held(parser)
    who.add_argument(
        "assistant",
        nargs="?",
        choices=sorted(ASSISTANTS),
        help="enter a hook into this coding assistant's configuration",
    )
    who.add_argument(
        "--detach",
        metavar="NAME",
        help="take away what a run whose supervisor was killed left (kaizen doctor names it)",
    )
    assistants = parser.add_argument_group("coding assistants (docs/how-to/coding-assistants.md)")
    assistants.add_argument("--write", action="store_true", help="do it; without it, only show what would change")
    assistants.add_argument("--undo", action="store_true", help="take it out again")
    assistants.add_argument("--folder", help="for this project alone (its folder); else for every project of this user")
    assistants.add_argument("--socket", help="the sidecar's Unix socket (KAIZEN_SIDECAR, else that of kaizen sidecar)")
    assistants.add_argument("--hold", type=int, default=50, help="seconds that a held call waits for a person (50)")


def add_held(parser: argparse.ArgumentParser) -> argparse._MutuallyExclusiveGroup:
    """The flags that say which processes are held and how; gives the group of those that say which."""
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--pid", type=int, help="this process, and all that descend from it")
    who.add_argument(
        "--cgroup", metavar="PATH", help="the processes of this control group (version 2), and of those below it"
    )
    parser.add_argument("--agent", help="the agent's name (default: KAIZEN_AGENT, else the process's own name)")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--observe", action="store_true", help="see everything, refuse what policy denies (default)")
    mode.add_argument("--enforce", action="store_true", help="also refuse what the agent did not declare")
    parser.add_argument(
        "--fail", choices=("open", "closed"), default="closed", help="what holds when we die (default closed)"
    )
    parser.add_argument(
        "--allow", action="append", default=[], metavar="HOST[:PORT]", help="declare one more destination"
    )
    parser.add_argument("--watch", action="append", default=[], metavar="PATH", help="report every open of this path")
    parser.add_argument(
        "--refuse", action="append", default=[], metavar="PATH", help="refuse opening it (with --enforce)"
    )
    parser.add_argument("--quiet", action="store_true", help="say nothing but errors")
    return who


def run(args: argparse.Namespace) -> int:
    """0 after a clean end."""
    if args.assistant:
        from kaizen_security.setup.assistants import run as enter

        return enter(args)
    from kaizen_security.launch.attach import detach

    if args.detach:
        detach(args.detach)
        return 0
    return hold(args, lambda action, verdict: None)


def hold(args: argparse.Namespace, heard: Callable[[Action, Verdict], None]) -> int:
    """Attach as the flags say, with ``heard`` for every action; until the agent ends, or SIGINT or SIGTERM."""
    from kaizen_security.client.config import data_folder
    from kaizen_security.launch.attach import Attached, members, tree
    from kaizen_security.launch.plan import Plan

    environ = dict(os.environ)
    if args.pid is not None and not Path(f"/proc/{args.pid}").is_dir():
        raise Misconfigured(f"there is no process {args.pid}")
    plan = Plan(
        agent=args.agent or environ.get("KAIZEN_AGENT") or _name(args.pid),
        mode=Mode.ENFORCE if args.enforce else Mode.OBSERVE,
        command=(),
        environ=environ,
        data=Path(data_folder(environ, "attach")),
        fail_closed=args.fail == "closed",
        allow=tuple(args.allow),
        watch=tuple(args.watch),
        refuse=tuple(args.refuse),
    )
    attached = Attached(plan, lambda: tree(args.pid) if args.pid is not None else members(args.cgroup), heard)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: attached.stop())

    def say(text: str) -> None:
        if not args.quiet:
            print(f"kaizen: {text}", file=sys.stderr, flush=True)

    def began(number: int, trouble: str) -> None:
        say(f"attached to {number} processes of {plan.agent}; connections that were open before are not seen")
        if trouble:
            say(trouble)

    counts = attached.run(began)
    seen = ", ".join(f"{n} {name}" for name, n in sorted(counts.items()) if n)
    say(f"let go of {plan.agent}: {seen or 'nothing was seen'}")
    return 0


def _name(pid: int | None) -> str:
    if pid is None:
        return "attached"
    return Path(f"/proc/{pid}/comm").read_text().strip() or "attached"
