"""``kaizen mcp``: what stands before MCP servers (docs/how-to/mcp-server.md)."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterable
from dataclasses import replace

from kaizen_security.cli.terminal.paint import json_text, plain, told
from kaizen_security.client.clock import now
from kaizen_security.client.config import load
from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.mcp import config
from kaizen_security.mcp.differences import differences
from kaizen_security.mcp.hidden import visible
from kaizen_security.mcp.pins import Held, Pins, accept
from kaizen_security.mcp.shelf import Shelf, encoded
from kaizen_security.setup.clients import Place, places, read, servers
from kaizen_security.setup.look import amiss
from kaizen_security.setup.wrap import unwrapping, wrapping, write

NO_CLIENTS = (
    "No MCP server is configured in Claude Desktop, Claude Code, Cursor or VS Code, for this user or in this folder; "
    "--folder and --file name other places."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its own commands."""
    commands = parser.add_subparsers(dest="what", metavar="COMMAND", required=True)
    pins = commands.add_parser("pins", help="list, compare, accept and reset what servers' tools were at first use")
    pins.add_argument("do", nargs="?", default="list", choices=("list", "diff", "accept", "reset"))
    pins.add_argument("server", nargs="?", default="", help="the server, as its owner calls it")
    pins.add_argument("tool", nargs="*", help="tools of it (accept: those that are held; none: all of them)")
    pins.add_argument("--pins", metavar="FOLDER", help=f"where pins are kept ({config.PINS}, else the data directory)")
    pins.add_argument("--json", action="store_true", help="for machines")
    gateway = commands.add_parser("gateway", help="Streamable HTTP in front of one or many servers")
    gateway.add_argument(
        "--config", metavar="FILE", help="servers, agents and origins, as TOML (docs/how-to/mcp-server.md)"
    )
    gateway.add_argument("--server", action="append", default=[], metavar="NAME=URL", help="a server, several times")
    gateway.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    gateway.add_argument("--port", type=int, default=8090, help="port to listen on (8090; 0: any)")
    gateway.add_argument(
        "--pins", metavar="FOLDER", help=f"where pins are kept ({config.PINS}, else the data directory)"
    )
    key = commands.add_parser("key", help="make a key for an agent at the gateway")
    key.add_argument("agent", help="the agent's name")
    request = commands.add_parser(
        "request", help="report to the sidecar what the user asked, from a hook of the MCP client"
    )
    request.add_argument(
        "text", help="what the user asked; - reads it from standard input, also as a hook's JSON with prompt in it"
    )
    wrap = commands.add_parser("wrap", help="put kaizen-mcp in front of the servers that MCP clients start")
    wrap.add_argument("--write", action="store_true", help="do it; without it, only say what would be done")
    wrap.add_argument("--undo", action="store_true", help="take it out again")
    wrap.add_argument("--agent", default="", help="report the servers' calls under this name")
    look = commands.add_parser("scan", help="say what is amiss in the configuration of MCP clients; starts nothing")
    for command in (wrap, look):
        command.add_argument("--folder", default=".", help="the project's folder (this one)")
        command.add_argument("--file", help="this configuration file alone")
    look.add_argument("--json", action="store_true", help="for machines")
    pins.epilog = "Exit status: 0 nothing is held back, 1 something is, 2 used wrongly."


def run(args: argparse.Namespace) -> int:
    """As the command says."""
    match args.what:
        case "gateway":
            return _gateway(args)
        case "key":
            return _key(args.agent)
        case "request":
            return _request(_prompt(sys.stdin.read()) if args.text == "-" else args.text)
        case "wrap":
            return _wrap(args)
        case "scan":
            return _look(args)
    return _pins(args)


def _gateway(args: argparse.Namespace) -> int:
    from kaizen_security.mcp import upstreams
    from kaizen_security.mcp.serve import serve

    environment = config.environment()
    setup = upstreams.load(args.config, environment) if args.config else upstreams.Setup(upstreams={})
    named = {one.name: one for one in map(upstreams.one, args.server)}
    setup = replace(setup, upstreams={**setup.upstreams, **named})
    if not setup.upstreams:
        print("kaizen mcp gateway: name a server with --server NAME=URL or in --config FILE", file=sys.stderr)
        return 2
    data = load({}).data
    folder = args.pins or config.pins_folder(environment, data)
    sessions = os.path.join(data, "mcp", f"gateway-{args.port}") if data and args.port else ""
    return serve(
        setup, host=args.host, port=args.port, pins=folder, sessions=sessions, locked=config.locked(environment)
    )


def _key(agent: str) -> int:
    from kaizen_security.mcp.upstreams import fresh_key, key_hash

    key = fresh_key()
    print(
        f'Key of {agent}, shown once: {key}\nFor the gateway\'s settings, under [agents]:\n{agent} = "{key_hash(key)}"'
    )
    return 0


def _prompt(said: str) -> str:
    """What a hook got on its standard input: the document that coding assistants give it, with ``prompt`` in it, or plain text."""
    try:
        document: Json = json.loads(said)
    except (ValueError, RecursionError):
        return said
    prompt = document.get("prompt") if isinstance(document, dict) else None
    return prompt if isinstance(prompt, str) else said


def _request(text: str) -> int:
    """0 when the sidecar has it; 1 when nobody takes it, or no shim of the client that ran this command is known."""
    from kaizen_security.contract.step import Request
    from kaizen_security.mcp.main import attached
    from kaizen_security.mcp.runs import MAX_REQUEST, run_around

    kaizen = attached()
    try:
        if not kaizen.settings.sidecar:
            print("kaizen mcp request: there is no sidecar (KAIZEN_SIDECAR), so nobody can hear it", file=sys.stderr)
            return 1
        folder = os.path.join(kaizen.settings.data, "mcp", "runs") if kaizen.settings.data else ""
        run_id = config.environment().get(config.RUN, "")[:128] or run_around(folder, os.getppid(), now)
        if not run_id:
            print("kaizen mcp request: no client that this was run by has started kaizen-mcp", file=sys.stderr)
            return 1
        kaizen.note(Request(run_id=run_id, text=text[:MAX_REQUEST], agent=kaizen.settings.agent, at=now()))
        if not kaizen.hand_over(timeout=5.0):
            print("kaizen mcp request: the sidecar does not take it", file=sys.stderr)
            return 1
        return 0
    finally:
        kaizen.close()


# --- other programs' configuration -----------------------------------------------------------------------------------------


def _places(args: argparse.Namespace) -> list[Place]:
    every = places(config.environment(), os.path.abspath(args.folder))
    if args.file:
        path = os.path.abspath(args.file)
        known = next((place for place in every if place.path == path), None)
        return [known or Place("file", path, "servers" if ".vscode" in path else "mcpServers")]
    return [place for place in every if os.path.exists(place.path)]


def _wrap(args: argparse.Namespace) -> int:
    shim = shutil.which("kaizen-mcp") or os.path.join(os.path.dirname(sys.executable), "kaizen-mcp")
    folder = os.path.join(load({}).data or ".", "mcp", "before")
    verb = ("" if args.write else "would be ") + ("taken out" if args.undo else "wrapped")
    found, changed, status = _places(args), 0, 0
    for place in found:
        try:
            change = unwrapping(place, folder) if args.undo else wrapping(place, shim, agent=args.agent)
            if args.write and change.servers:
                write(change, folder, keep=not args.undo)
        except Misconfigured as err:
            print(f"kaizen mcp wrap: {told(err)}", file=sys.stderr)
            status = 1
            continue
        changed += len(change.servers)
        print(f"{place.client}, {plain(place.path)}")
        for line in (
            *(f"  {visible(one.name)}: {verb}" for one in change.servers),
            *(f"  {visible(one.name)}: left, {why}" for one, why in change.left),
        ):
            print(line)
    if not found:
        print(NO_CLIENTS)
        return status
    many = "1 server" if changed == 1 else f"{changed} servers"
    print(f"{many} {verb}." + ("" if args.write or not changed else " --write does it."))
    return status


def _look(args: argparse.Namespace) -> int:
    found: list[dict[str, Json]] = []
    for place in _places(args):
        try:
            listed = list(servers(place, read(place.path).document))
        except Misconfigured as err:
            found.append({"client": place.client, "file": place.path, "server": "", "amiss": [str(err)]})
            continue
        found += [
            {"client": place.client, "file": place.path, "server": one.name, "amiss": [*amiss(one)]} for one in listed
        ]
    if args.json:
        print(json_text({"servers": found}))
    elif not found:
        print(NO_CLIENTS)
    for one in () if args.json else found:
        print(f"{one['client']}, {plain(str(one['file']))}: {visible(str(one['server'])) or 'cannot be read'}")
        said = one["amiss"]
        for sentence in said if isinstance(said, list) else ():
            print(f"  {plain(str(sentence))}")
    return 1 if any(one["amiss"] for one in found) else 0


# --- pins ---------------------------------------------------------------------------------------------------------------


def _pins(args: argparse.Namespace) -> int:
    folder = args.pins or config.pins_folder(config.environment(), load({}).data)
    if not folder:
        print("kaizen mcp pins: there is no data directory; name one with --pins", file=sys.stderr)
        return 2
    shelf = Shelf(folder)
    if args.do in ("accept", "reset"):
        if not args.server:
            print(f"kaizen mcp pins {args.do}: name the server; `kaizen mcp pins` lists them", file=sys.stderr)
            return 2
        return _accept(shelf, args.server, args.tool) if args.do == "accept" else _reset(shelf, args.server)
    found = [pins for pins in shelf.all() if not args.server or pins.server == args.server]
    if args.server and not found:
        print(f"kaizen mcp pins: nothing is pinned of {args.server}", file=sys.stderr)
        return 2
    if args.json:
        print(json_text({"servers": [_document(pins, args.do) for pins in found]}))
    elif args.do == "list":
        print(
            "\n".join(_listed(found)) or "Nothing is pinned yet: pins are made when a server's tools are first listed."
        )
    else:
        print("\n".join(line for pins in found for line in _compared(pins)) or "Nothing is held back.")
    return 1 if any(pins.held for pins in found) else 0


def _accept(shelf: Shelf, server: str, tools: list[str]) -> int:
    names = tools or sorted(shelf.pins(server).held)
    unknown = [name for name in names if name not in shelf.pins(server).held]
    if unknown or not names:
        said = f"{', '.join(map(visible, unknown))} of {server}" if unknown else f"of {server}"
        print(f"kaizen mcp pins accept: nothing is held back {said}", file=sys.stderr)
        return 2
    after = shelf.change(server, lambda pins: accept(pins, [name for name in names if name in pins.held], now()))
    print(f"Accepted of {server}: {', '.join(map(visible, names))}. Clients see it when they list the tools again.")
    return 1 if after.held else 0


def _reset(shelf: Shelf, server: str) -> int:
    if not shelf.forget(server):
        print(f"kaizen mcp pins reset: nothing is pinned of {server}", file=sys.stderr)
        return 2
    print(f"Forgotten: {server}. What it lists next is its first use.")
    return 0


def _document(pins: Pins, do: str) -> Json:
    if do == "list":
        return encoded(pins)
    held: dict[str, Json] = {
        name: {"why": one.why.value, "differences": [*_said(pins, name, one)]}
        for name, one in sorted(pins.held.items())
    }
    return {"server": pins.server, "held": held}


def _listed(found: Iterable[Pins]) -> Iterable[str]:
    for pins in found:
        itself = f", calls itself {visible(pins.calls_itself)}" if pins.calls_itself else ""
        yield f"{visible(pins.server)}{itself}: {len(pins.tools)} pinned, {len(pins.held)} held back"
        yield from (f"  {visible(name)}  {one.digest[:12]}" for name, one in sorted(pins.tools.items()))
        yield from (
            f"  {visible(name)}  {one.digest[:12]}  held: {one.why.value}" for name, one in sorted(pins.held.items())
        )


def _compared(pins: Pins) -> Iterable[str]:
    for name, one in sorted(pins.held.items()):
        yield f"{visible(pins.server)}, {visible(name)}: {one.why.value}"
        yield from (f"  {plain(sentence)}" for sentence in _said(pins, name, one))


def _said(pins: Pins, name: str, held: Held) -> Iterable[str]:
    before = pins.tools.get(name)
    yield from held.said or (differences(before.definition, held.definition) if before else ())
