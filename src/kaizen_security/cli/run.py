"""``kaizen run``: start an agent so that what it does is seen below it, and what it may not do is stopped."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kaizen_security.contract.errors import Misconfigured
from kaizen_security.contract.verdict import Mode

if TYPE_CHECKING:
    from kaizen_security.launch.plan import Plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    parser.usage = "kaizen run [--agent NAME] [--observe | --enforce] [OPTION …] -- COMMAND …"
    parser.add_argument("--agent", help="the agent's name (default: KAIZEN_AGENT, else the command's own name)")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--observe", action="store_true", help="see everything, refuse what policy denies (default)")
    mode.add_argument("--enforce", action="store_true", help="also refuse what the agent did not declare")
    _add_holding(parser)
    _add_surroundings(parser)
    parser.add_argument("--user", default="", metavar="NAME", help="as root: run the agent as this user")
    parser.add_argument(
        "--tui", action="store_true", help="show its actions as they happen; its output goes to DATA/output.log"
    )
    parser.add_argument("--quiet", action="store_true", help="say nothing but errors")
    parser.add_argument("command", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def _add_holding(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rung",
        choices=("auto", "kernel", "namespace", "proxy"),
        default="auto",
        help="how it is held (default auto: the strongest that is to be had here; the others fail where they are not)",
    )
    parser.add_argument(
        "--fail",
        choices=("open", "closed"),
        default="closed",
        help="what holds when the collector dies (default closed)",
    )
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="HOST[:PORT]",
        help="declare a destination besides the declaration's",
    )
    parser.add_argument("--watch", action="append", default=[], metavar="PATH", help="report every open of this path")
    parser.add_argument(
        "--refuse", action="append", default=[], metavar="PATH", help="refuse opening or executing it (with --enforce)"
    )
    parser.add_argument(
        "--local", action="append", default=[], type=int, metavar="PORT", help="keep this port of 127.0.0.1 reachable"
    )
    parser.add_argument(
        "--namespace", action="store_true", help="a network namespace too, where the rung is the kernel"
    )
    parser.add_argument(
        "--io-uring",
        action="store_true",
        help="permit io_uring in enforce mode with the kernel rung (its AF_VSOCK and unix sockets are then not refused)",
    )
    parser.add_argument("--no-unix", action="store_true", help="no unix sockets for the agent (socketpairs still work)")


def _add_surroundings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--proxy", default="", metavar="URL", help="an egress proxy that runs already (default: one of its own)"
    )
    parser.add_argument(
        "--authority", default="", metavar="FILE", help="a certificate authority that clients trust as well"
    )
    parser.add_argument("--data", type=Path, help="where reports wait for delivery (default: KAIZEN_DATA/run)")


def run(args: argparse.Namespace) -> int:
    """The agent's own exit status; 125 when it could not be set up, 126 or 127 when its program could not be run."""
    from kaizen_security.launch.summary import summary
    from kaizen_security.launch.supervise import NotStarted, Run

    plan = _plan(args)

    def say(text: str) -> None:
        if not args.quiet:
            print("\n".join(f"kaizen: {line}" for line in text.splitlines()), file=sys.stderr, flush=True)

    view = None
    if args.tui:
        from kaizen_security.launch.view import View

        plan.data.mkdir(parents=True, exist_ok=True)
        view = View(plan.agent, plan.output)
    try:
        outcome = Run(plan, say, view.report).run() if view is not None else Run(plan, say).run()
    except NotStarted as err:
        print(f"kaizen run: {err}", file=sys.stderr)
        return err.status
    finally:
        if view is not None:
            view.close()
    say(summary(plan.agent, outcome))
    return outcome.status


def _plan(args: argparse.Namespace) -> Plan:
    """What the flags and the environment ask for. Raises Misconfigured."""
    from kaizen_security.client.config import data_folder
    from kaizen_security.launch.plan import Plan, Way

    command = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not command:
        raise Misconfigured("which command? kaizen run [OPTION …] -- COMMAND …")
    if any(not 0 < port < 65536 for port in args.local):
        raise Misconfigured("--local must be a port from 1 to 65535")
    environ = dict(os.environ)
    data = args.data or Path(data_folder(environ, "run"))
    return Plan(
        agent=args.agent or environ.get("KAIZEN_AGENT") or Path(command[0]).name,
        mode=Mode.ENFORCE if args.enforce else Mode.OBSERVE,
        command=tuple(command),
        environ=environ,
        data=data,
        want=None if args.rung == "auto" else Way(args.rung),
        fail_closed=args.fail == "closed",
        allow=tuple(args.allow),
        watch=tuple(args.watch),
        refuse=tuple(args.refuse),
        local=tuple(args.local),
        unix=not args.no_unix,
        io_uring=args.io_uring,
        namespace=args.namespace,
        proxy=args.proxy,
        authority=args.authority,
        user=_user(args.user),
        output=str(data / "output.log") if args.tui else "",
    )


def _user(name: str) -> tuple[int, int, tuple[int, ...]] | None:
    """The user that the agent becomes: the one named, else the one who called sudo; None: as we are. Raises Misconfigured."""
    import pwd

    if os.geteuid() != 0:
        if name:
            raise Misconfigured("--user needs root")
        return None
    name = name or os.environ.get("SUDO_USER", "")
    if not name or name == "root":
        return None
    try:
        entry = pwd.getpwnam(name)
    except KeyError as err:
        raise Misconfigured(f"--user: there is no user {name}") from err
    return entry.pw_uid, entry.pw_gid, tuple(os.getgrouplist(name, entry.pw_gid))
