"""Every ``kaizen`` command with its options, as their own parsers say, and what each needs beside the option that is tried."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from kaizen_security.cli import COMMANDS

ROOT = Path(__file__).parents[2]

BASES: dict[str, list[str]] = {
    "doctor": [],
    "egress ca": ["--cert", "{tmp}/c.pem", "--key", "{tmp}/k.pem"],
    "egress trust": ["--ca", "{tmp}/none.pem", "--bundle", "{tmp}/b.pem"],
    "egress documents": [],
    "mcp pins": ["list"],
    "mcp key": ["a"],
    "mcp request": ["t"],
    "mcp wrap": ["--folder", "{tmp}/home"],
    "mcp scan": ["--folder", "{tmp}/home"],
    "inspect": ["--tool", "t", "--sidecar", "unix://{tmp}/none"],
    "explain": ["0" * 32, "--api-url", "http://127.0.0.1:1"],
    "baseline": ["show", "--data", "{tmp}/data"],
    "holds": ["list", "--sidecar", "unix://{tmp}/none"],
    "bench": ["--learn", "{tmp}/runs.jsonl", "--test", "{tmp}/runs.jsonl"],
    "convert": ["otel", "{tmp}/runs.jsonl"],
    "replay": ["{tmp}/runs.jsonl"],
    "redteam": ["--scenario", "none"],
    "config": [],
    "model test": [],
    "model usage": ["--sidecar", "unix://{tmp}/none"],
    "canary": ["list", "--file", "{tmp}/canaries"],
    "keys list": ["--data", "{tmp}/data"],
    "keys create": ["--data", "{tmp}/data"],
    "keys revoke": ["7", "--data", "{tmp}/data"],
    "admin backup": ["{tmp}/backup", "--data", "{tmp}/data"],
    "admin restore": ["{tmp}/none", "--data", "{tmp}/restored"],
    "admin downgrade": ["1", "--data", "{tmp}/data"],
    "admin password": ["--data", "{tmp}/data"],
    "admin link": ["--data", "{tmp}/data"],
    "admin users": ["--data", "{tmp}/data"],
    "admin add-user": ["u", "--data", "{tmp}/data"],
    "admin delete-agent": ["a", "--data", "{tmp}/data"],
}
"""Commands that end by themselves, with what they need."""
STAYING: dict[str, list[str]] = {
    "up": ["--data", "{tmp}/up", "--port", "0", "--sidecar-port", "0", "--proxy-port", "0"],
    "run": ["--data", "{tmp}/run", "--", "true"],
    "attach": ["--pid", "999999999"],
    "collector": ["--pid", "999999999"],
    "server": ["--data", "{tmp}/server", "--port", "0"],
    "sidecar": ["--data", "{tmp}/sidecar", "--port", "0", "--socket", "{tmp}/s"],
    "egress": ["--data", "{tmp}/egress", "--port", "0"],
    "sandbox": ["--agent", "a", "--data", "{tmp}/sandbox", "--egress-port", "0", "--trace-port", "0"],
    "mcp gateway": ["--config", "{tmp}/none.json"],
}
"""Those that stay once they have begun."""
GROUPS = {"mcp", "model", "keys", "admin"}
"""They have commands below them and do nothing themselves."""


def parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command, and every command below one."""

    def below(name: str, parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
        yield name, parser
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for word, inner in action.choices.items():
                    yield from below(f"{name} {word}", inner)

    for name in COMMANDS:
        parser = argparse.ArgumentParser()
        importlib.import_module(f"kaizen_security.cli.{name}").add_arguments(parser)
        yield from below(name, parser)


def options(parser: argparse.ArgumentParser) -> Iterator[tuple[str, list[str]]]:
    """What takes a value: its name, and the words that stand before the value."""
    for action in parser._actions:
        if action.nargs == 0 or isinstance(action, argparse._SubParsersAction):
            continue
        yield (action.option_strings or [action.dest])[-1], action.option_strings[-1:]


def calls(tmp: Path, values: dict[str, str], *, staying: bool = False) -> Iterator[tuple[str, list[str]]]:
    """Every option of every command with every value: what that is, and the words of the call."""
    table = STAYING if staying else BASES
    for name, parser in parsers():
        if name not in table:
            continue
        base = [word.replace("{tmp}", str(tmp)) for word in table[name]]
        for option, words in options(parser):
            for value in values:
                given = [*words, values[value]]
                # The option once: argparse takes the last, and some take several.
                rest = _without(base, words[0]) if words else base
                yield (
                    f"kaizen {name} {option}: {value}",
                    [*name.split(), *([*given, *rest] if words else _placed(parser, option, base, given))],
                )


def _without(base: list[str], option: str) -> list[str]:
    if option not in base:
        return base
    at = base.index(option)
    return base[:at] + base[at + 2 :]


def _placed(parser: argparse.ArgumentParser, dest: str, base: list[str], given: list[str]) -> list[str]:
    """With the positional argument ``dest`` in its place among the others."""
    places = [action.dest for action in parser._actions if not action.option_strings and action.nargs != 0]
    at = places.index(dest)
    cut = next((i for i, word in enumerate(base) if word.startswith("--")), len(base))
    words, rest = base[:cut], base[cut:]
    return [*words[:at], *given, *words[at + 1 :], *rest]


def run(cases: list[dict], tmp: Path) -> list[dict]:
    """Run them all in a folder (``forked_commands``)."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.e2e.forked_commands"],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        timeout=900,
        cwd=tmp,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
