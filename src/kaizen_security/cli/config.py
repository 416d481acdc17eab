"""``kaizen config``: every setting of the client, its value, and what won: argument, environment, file or default."""

from __future__ import annotations

import argparse
import os
import sys

from kaizen_security.cli.terminal.paint import json_text, told
from kaizen_security.client.config import ENVIRONMENT, Settings, file_of, load
from kaizen_security.client.dial import check_key_may_go
from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import Misconfigured

SECRET = frozenset({"api_key", "tenant_key"})
"""Settings of which only is shown whether they are set."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument(
        "arguments",
        nargs="*",
        metavar="NAME=VALUE",
        help="an argument as it would be given to Kaizen(…), to see what it changes",
    )
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.epilog = (
        "Exit status: 0 all can be used, 2 something cannot (the message names it). Secrets are never shown."
    )


def run(args: argparse.Namespace) -> int:
    """0 all can be used, 2 something cannot."""
    try:
        settings = load(_arguments(args.arguments))
        check_key_may_go(settings.sidecar or settings.base_url, settings.api_key)
    except Misconfigured as err:
        print(f"kaizen config: {told(err)}", file=sys.stderr)
        return 2
    path = file_of(os.environ, settings.data)
    rows = [_row(settings, name) for name in ENVIRONMENT]
    if args.json:
        print(json_text({"file": path or None, "settings": rows}))
        return 0
    widths = [max(len(str(row[column])) for row in rows) for column in ("name", "shown")]
    for row in rows:
        place = f" ({row['place']})" if row["place"] else ""
        print(f"{row['name']!s:<{widths[0]}}  {row['shown']!s:<{widths[1]}}  {row['origin']}{place}")
    print(f"file: {path or 'none is read'}")
    return 0


def _arguments(words: list[str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or name not in ENVIRONMENT:
            raise Misconfigured(f"{name[:50]!r} must be NAME=VALUE with a setting's name: {', '.join(ENVIRONMENT)}")
        found[name] = value or None
    return found


def _row(settings: Settings, name: str) -> dict[str, Json]:
    value = getattr(settings, name)
    row: dict[str, Json] = {
        "name": name,
        "origin": settings.origins[name],
        "place": settings.places.get(name, ""),
        "environment": list(ENVIRONMENT[name]),
    }
    if name in SECRET:
        return {**row, "value": None, "set": bool(value), "shown": "set" if value else "not set"}
    shown = (
        "true" if value is True else "false" if value is False else str(value) if value not in ("", None) else "not set"
    )
    return {**row, "value": value, "set": value not in ("", None), "shown": shown}
