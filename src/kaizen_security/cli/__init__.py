"""The command ``kaizen``: one file a command, loaded when it is asked for.

A command module has ``add_arguments(parser)`` and ``run(args) -> int`` (the exit status: 0 good, 1 the answer is no, 2 the command
was used wrongly).
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from kaizen_security import __version__
from kaizen_security.cli.terminal.paint import told
from kaizen_security.contract.errors import KaizenError

COMMANDS = {
    "up": "start control plane, sidecar and egress proxy together (--demo: with a demonstration agent)",
    "run": "start an agent so that what it does is seen below it, and what it may not do is stopped",
    "attach": "hold an agent that runs already, from below; or enter a hook into a coding assistant",
    "collector": "what an agent's processes do, as the kernel sees it, one JSON object a line",
    "doctor": "which rung this machine can reach, and what each rung sees and stops (--coverage)",
    "server": "the control plane: API and web console",
    "sidecar": "the Observer next to the agent",
    "egress": "the egress proxy",
    "sandbox": "what an agent reports against what it does, judged beside it",
    "mcp": "what stands before MCP servers: gateway, pins, clients' configuration",
    "inspect": "ask for the verdict on one action",
    "explain": "show why a verdict is what it is",
    "baseline": "what an agent normally does: show, compare, export, import, learn, reset",
    "holds": "what Kaizen asks a person, and the answers",
    "bench": "how well detection holds on recorded runs",
    "convert": "turn OpenTelemetry and Langfuse traces into recorded runs",
    "replay": "take recorded actions or runs through the Observer again",
    "redteam": "run the red-team corpus and print its scorecard",
    "config": "show every setting of the client, and what it was taken from",
    "model": "whether the reasoning model answers, and what asking it has cost",
    "canary": "mint values that are bait, and list them",
    "keys": "make, list and revoke API keys",
    "admin": "backup and restore, lost passwords, users, deletion of an agent's data",
}


EXTRAS = {"trustme": "demo", "rich": "demo", "boto3": "bedrock"}
"""Which extra of the distribution brings a package that is not of ``server``."""


def parser() -> argparse.ArgumentParser:
    """The parser with every command's name and line, none of their arguments: those are loaded by ``main``."""
    top = argparse.ArgumentParser(
        prog="kaizen",
        description="Runtime security for AI agents: judges what an agent does, never what it says.",
        epilog="kaizen COMMAND --help says the rest.",
    )
    top.add_argument("--version", action="version", version=f"kaizen {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, line in COMMANDS.items():
        commands.add_parser(name, help=line, add_help=False)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit status."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] not in COMMANDS:
        parser().parse_args(words or ["--help"])
        return 2
    for word in words[1:]:
        if any("\ud800" <= char <= "\udfff" for char in word):
            # Bytes that are no text: nothing that is named so could be sent, kept or found again.
            print(f"kaizen {words[0]}: the argument {word!a} is not UTF-8 text", file=sys.stderr)
            return 2
    try:
        return _run(words)
    except ModuleNotFoundError as err:
        package = (err.name or "").partition(".")[0]
        if package in ("", "kaizen_security"):
            raise
        extra = EXTRAS.get(package, "server")
        print(
            f"kaizen {words[0]}: needs the package {package}, which is not installed: "
            f"pip install '.[{extra}]' in a checkout of Kaizen brings it",
            file=sys.stderr,
        )
        return 2


def _run(words: list[str]) -> int:
    module = importlib.import_module(f"kaizen_security.cli.{words[0]}")
    command = argparse.ArgumentParser(
        prog=f"kaizen {words[0]}", description=COMMANDS[words[0]][:1].upper() + COMMANDS[words[0]][1:] + "."
    )
    module.add_arguments(command)
    try:
        status: int = module.run(command.parse_args(words[1:]))
    except KaizenError as err:
        print(f"kaizen {words[0]}: {told(err)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output went away (``kaizen replay … | head``); there is nobody left to tell.
        sys.stderr.close()
        return 0
    except OSError as err:
        # A disk that is full, a folder in the place of a file: where a command does not say more of it itself.
        place = f"{err.filename}: " if isinstance(err.filename, str) else ""
        print(f"kaizen {words[0]}: {place}{err.strerror or err}", file=sys.stderr)
        return 1
    return status
