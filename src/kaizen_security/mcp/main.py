"""The command line of ``kaizen-mcp``, and what one shim is made of."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from kaizen_security.contract.errors import KaizenError
from kaizen_security.mcp import config
from kaizen_security.mcp.runs import started_by

if TYPE_CHECKING:
    from kaizen_security.client.client import Kaizen
    from kaizen_security.contract.action import Action
    from kaizen_security.mcp.desk import Desk
    from kaizen_security.mcp.frames import Message

USAGE = """usage: kaizen-mcp [--name NAME] -- command [argument …]

Starts the command, an MCP server on standard input and output, and judges what the client asks of it.
  --name NAME   what to call the server in verdicts and pins (default: the command's own name)
Settings: KAIZEN_API_KEY, KAIZEN_AGENT (mcp-agent), KAIZEN_API_URL, KAIZEN_SIDECAR, KAIZEN_MODE; `kaizen config` shows them all.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """``kaizen-mcp``: the server's exit status; 2 when it was used wrongly, 127 when there is no such command."""
    words = list(sys.argv[1:] if argv is None else argv)
    name = ""
    while words and words[0].startswith("-") and words[0] != "--":
        flag, _, value = words.pop(0).partition("=")
        if flag in ("-h", "--help"):
            print(USAGE, end="")
            return 0
        if flag != "--name" or not (value or words):
            print(f"kaizen-mcp: unknown option {flag}\n{USAGE}", end="", file=sys.stderr)
            return 2
        name = value or words.pop(0)
    command = words[1:] if words[:1] == ["--"] else words
    if not command:
        print(USAGE, end="", file=sys.stderr)
        return 2
    try:
        return _serve(command, name or server_name(command), config.environment())
    except KaizenError as err:
        print(f"kaizen-mcp: {err}", file=sys.stderr)
        return 2


def _serve(command: Sequence[str], name: str, environment: Mapping[str, str]) -> int:
    from kaizen_security.mcp.stdio import Shim

    kaizen = attached()
    try:
        shim = Shim(command, config.for_server(environment))
    except OSError as err:
        print(f"kaizen-mcp: cannot start {command[0]}: {err.strerror}", file=sys.stderr)
        return 127
    try:
        desk = desk_of(kaizen, name, run_of(environment), environment)
    except KaizenError:
        shim.process.kill()
        raise
    # What people decide has to be heard also while nothing is called.
    kaizen.wake()
    try:
        return shim.run(desk)
    finally:
        kaizen.close()
        told = {**desk.relay.lost, **kaizen.lost}
        if told:
            print("kaizen-mcp: " + ", ".join(f"{n} times {why}" for why, n in told.items()), file=sys.stderr)


def attached() -> Kaizen:
    """The client library, for an agent that is called ``mcp-agent`` unless something says otherwise."""
    from kaizen_security.client.client import Kaizen
    from kaizen_security.client.config import load

    settings = load({})
    named = settings.agent if settings.origins["agent"] != "default" else config.AGENT
    return Kaizen(agent=named)


def desk_of(kaizen: Kaizen, name: str, run_id: str, environment: Mapping[str, str]) -> Desk:
    """Where one connection's lines are settled. Raises Misconfigured for pins that cannot be read."""
    from kaizen_security.client.clock import now
    from kaizen_security.contract.verdict import Mode
    from kaizen_security.mcp.desk import Desk
    from kaizen_security.mcp.relay import Relay
    from kaizen_security.mcp.runs import META_RUN, Rolling, said
    from kaizen_security.mcp.shelf import Shelf
    from kaizen_security.mcp.warden import Warden
    from kaizen_security.mcp.whose import keep_apart

    data = kaizen.settings.data
    rolling = Rolling(os.path.join(data, "mcp", "runs") if data else "", run_id, clock=now)
    rolling.tidy()
    named = bool(environment.get(config.RUN))
    if not named:
        # So that `kaizen mcp request` finds the run before its first call.
        rolling()

    def run(message: Message) -> str:
        return said(message, META_RUN) or (run_id if named else rolling())

    def accepts(load: Action) -> bool:
        # Asked of the rules in force: they are replaced as a whole when a bundle comes.
        return kaizen.rules.suppressed.accepts(load)

    ward = Warden(
        Shelf(config.pins_folder(environment, kaizen.settings.data)),
        name,
        enforcing=lambda: kaizen.rules.mode is Mode.ENFORCE,
        now=now,
        locked=config.locked(environment),
        accepts=accepts,
        apart=keep_apart(environment.get(config.APART, "")),
    )
    return Desk(kaizen, Relay(server=name, run=run, ids=kaizen.ids.new, ward=ward))


def server_name(command: Sequence[str]) -> str:
    """A server's name from its command: the last word that is a program or a package, without folder, version and ending."""
    runners = {"npx", "uvx", "node", "bunx", "deno", "python", "python3", "uv", "run", "docker", "env", "sh", "bash"}
    words = [word for word in command if word and not word.startswith("-")]
    for word in words:
        base = os.path.basename(word.rstrip("/"))
        if base not in runners and not base.startswith("python"):
            return (base.partition("@")[0] or base).removesuffix(".py").removesuffix(".js")[:128]
    return os.path.basename(command[0])[:128]


def run_of(environment: Mapping[str, str]) -> str:
    """The run that this shim's calls belong to: ``KAIZEN_RUN``, else one for all shims that the same client process started.

    So what was read through one server and sent through another stands in one run.
    """
    said = environment.get(config.RUN, "")
    if said:
        return said[:128]
    return started_by(os.getppid())
