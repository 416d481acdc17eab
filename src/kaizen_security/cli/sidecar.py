"""``kaizen sidecar``: the Observer as a process next to the agent (docs/explanation/how-it-decides.md)."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from kaizen_security.contract.errors import Misconfigured
from kaizen_security.contract.verdict import Mode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its flags. Each has an environment variable that holds when the flag is not given."""
    parser.add_argument("--socket", help="path of the Unix socket, mode 0600 (default: DATA/kaizen.sock)")
    parser.add_argument(
        "--socket-group",
        metavar="GROUP",
        help="let this group's users open the socket too (mode 0660); what they say is an agent's own word (default: nobody)",
    )
    parser.add_argument(
        "--host", help="loopback address for those who cannot use the socket (of OBSERVER_URL; default 127.0.0.1)"
    )
    parser.add_argument(
        "--port", type=int, help="its port; 0 takes a free one, -1 none (of OBSERVER_URL; default 8001)"
    )
    parser.add_argument("--api-url", help="the control plane (KAIZEN_API_URL; default http://127.0.0.1:8000)")
    parser.add_argument(
        "--data",
        help="data directory (KAIZEN_DATA, TENANT_DATABASE_URL with sqlite:///; default ~/.local/share/kaizen/sidecar)",
    )
    parser.add_argument(
        "--before-bundle",
        choices=[mode.value for mode in Mode],
        default=Mode.OBSERVE.value,
        help="until an agent's policy has arrived: observe judges without it and says so, enforce blocks; without a control "
        "plane (no KAIZEN_API_KEY) the mode for good",
    )
    parser.add_argument(
        "--hold-seconds",
        type=float,
        default=300.0,
        help="how long a held action waits for a person (default 300); 0: ask nobody",
    )
    parser.add_argument("--most-agents", type=int, default=256, help="agents held in memory at once (default 256)")
    parser.add_argument("--spool-mb", type=int, default=256, help="what may wait for a control plane that is down")
    parser.add_argument(
        "--model-config",
        metavar="FILE",
        help="which model is asked what no rule settles (KAIZEN_MODEL_CONFIG; nobody when nothing is stated)",
    )
    parser.add_argument(
        "--canaries", metavar="FILE", help="values that are bait, made by kaizen canary new (KAIZEN_CANARIES)"
    )
    parser.epilog = (
        "The sidecar's own API key, of scope observer, is read from KAIZEN_API_KEY. Without one nothing is sent."
    )


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    from kaizen_security.cli.canary import read_canaries
    from kaizen_security.client.config import control_plane, data_folder
    from kaizen_security.reasoners.config import read_config
    from kaizen_security.sidecar.environment import stated
    from kaizen_security.sidecar.run import serve
    from kaizen_security.sidecar.settings import Settings

    environment = os.environ
    deployed = stated(environment)
    for notice in deployed.notices:
        print(f"kaizen sidecar: {notice}", file=sys.stderr, flush=True)
    host = args.host or deployed.host or "127.0.0.1"
    port = args.port if args.port is not None else deployed.port or 8001
    if args.data:
        data = Path(args.data)
    elif deployed.data and not environment.get("KAIZEN_DATA"):
        data = deployed.data
    else:
        data = Path(data_folder(environment, "sidecar"))
    api_url = args.api_url or control_plane(environment)
    _check(args, port=port, api_url=api_url)
    return serve(
        Settings(
            socket=Path(args.socket) if args.socket else data / "kaizen.sock",
            data=data,
            group=args.socket_group or "",
            host=host,
            port=port,
            api_url=api_url,
            api_key=environment.get("KAIZEN_API_KEY", ""),
            before=Mode(args.before_bundle),
            most_agents=args.most_agents,
            spool_bytes=args.spool_mb << 20,
            hold_seconds=args.hold_seconds,
            model=read_config(environment, args.model_config or ""),
            entered=data.parent / "attach" / "entered",
            canaries=read_canaries(args.canaries or environment.get("KAIZEN_CANARIES", "")),
        )
    )


def _check(args: argparse.Namespace, *, port: int, api_url: str) -> None:
    from kaizen_security.client.dial import place

    if not -1 <= port <= 65535:
        raise Misconfigured("--port must be from 0 to 65535, or -1 for none")
    try:
        place(api_url)
    except Misconfigured as err:
        raise Misconfigured(f"--api-url (or KAIZEN_API_URL): {err}") from err
    if not 1 <= args.most_agents <= 100_000:
        raise Misconfigured("--most-agents must be from 1 to 100000")
    if not 1 <= args.spool_mb <= 1 << 20:
        raise Misconfigured("--spool-mb must be from 1 to 1048576")
    if args.hold_seconds and not 1 <= args.hold_seconds <= 86_400:
        raise Misconfigured("--hold-seconds must be 0, or from 1 to 86400")
