"""``kaizen sandbox``: what an agent tells against what it does, judged beside it (docs/how-to/sandbox.md)."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from kaizen_security.contract.errors import Misconfigured
from kaizen_security.contract.verdict import Mode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its flags. Each has an environment variable that holds when the flag is not given."""
    parser.add_argument("--agent", help="whose sandbox it is (KZ_AGENT or KAIZEN_AGENT; default agent)")
    parser.add_argument("--host", help="where both ports listen (KZ_HOST; default 127.0.0.1)")
    parser.add_argument("--egress-port", type=int, help="the egress proxy; 0: any free one (PORT; default 8080)")
    parser.add_argument(
        "--trace-port", type=int, help="the trace receiver; 0: any free one (KZ_TRACE_PORT; default 8081)"
    )
    parser.add_argument("--data", type=Path, help="data directory (KAIZEN_DATA/sandbox)")
    parser.add_argument(
        "--declaration",
        help="what the agent is for: a JSON file, or the JSON itself (KZ_DECLARATION; else the control plane's)",
    )
    parser.add_argument(
        "--mode", choices=[mode.value for mode in Mode], help="without a control plane (KZ_MODE; default observe)"
    )
    parser.add_argument("--api-url", help="the control plane (KAIZEN_API_URL; default http://127.0.0.1:8000)")
    parser.add_argument(
        "--model-config", metavar="FILE", help="which model is asked what no rule settles (KAIZEN_MODEL_CONFIG)"
    )
    parser.add_argument(
        "--egress-config", metavar="FILE", help="further settings of the egress proxy, as JSON (KZ_EGRESS_CONFIG)"
    )
    parser.add_argument(
        "--open-egress",
        action="store_true",
        help="ask peers on private networks for no proxy credentials (KZ_OPEN_EGRESS=1)",
    )
    parser.add_argument(
        "--watch",
        action="append",
        metavar="FOLDER",
        help="watch the files below a folder that only this agent uses (KZ_WATCH, several with a colon between)",
    )
    parser.add_argument(
        "--unconfined",
        action="store_true",
        help="let the judging process reach other places than control plane and model",
    )
    parser.epilog = (
        "The token that traces and proxy users present is KZ_TOKEN, or is made at the first start and kept in DATA/token. The "
        "sandbox's own API key, of scope observer, is read from KAIZEN_API_KEY; without one nothing leaves."
    )


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    from kaizen_security.cli.canary import read_canaries
    from kaizen_security.client.config import control_plane, data_folder
    from kaizen_security.observer.gap.expectation import NOTHING_EXPECTED
    from kaizen_security.reasoners.config import read_config
    from kaizen_security.sandbox.run import serve
    from kaizen_security.sandbox.settings import Settings, read_declaration, read_egress

    environment = os.environ
    stated = args.declaration or environment.get("KZ_DECLARATION", "")
    further = args.egress_config or environment.get("KZ_EGRESS_CONFIG", "")
    token = environment.get("KZ_TOKEN", "")
    if token and (len(token) < 20 or not token.isascii() or not token.isprintable() or " " in token):
        raise Misconfigured("KZ_TOKEN must have at least 20 printable ASCII characters without spaces")
    settings = Settings(
        agent=args.agent or environment.get("KZ_AGENT") or environment.get("KAIZEN_AGENT") or "agent",
        data=(args.data or Path(data_folder(environment, "sandbox"))).absolute(),
        host=args.host or environment.get("KZ_HOST") or "127.0.0.1",
        egress_port=_port(args.egress_port, environment.get("PORT", ""), 8080, "--egress-port (or PORT)"),
        trace_port=_port(
            args.trace_port, environment.get("KZ_TRACE_PORT", ""), 8081, "--trace-port (or KZ_TRACE_PORT)"
        ),
        token=token,
        api_url=args.api_url or control_plane(environment),
        api_key=environment.get("KAIZEN_API_KEY", ""),
        mode=_mode(args.mode or environment.get("KZ_MODE") or Mode.OBSERVE.value),
        expectation=read_declaration(stated) if stated else NOTHING_EXPECTED,
        declared=bool(stated),
        environ={name: environment[name] for name in ("PATH", "HOME", "LANG", "PYTHONPATH") if name in environment},
        model=read_config(environment, args.model_config or ""),
        canaries=read_canaries(environment.get("KAIZEN_CANARIES", "")),
        egress=read_egress(further) if further else {},
        watch=tuple(args.watch or [one for one in environment.get("KZ_WATCH", "").split(":") if one]),
        open_egress=args.open_egress or environment.get("KZ_OPEN_EGRESS") == "1",
        confined=not args.unconfined,
    )
    if (
        not settings.agent.strip()
        or len(settings.agent) > 256
        or not settings.agent.isprintable()
        or ":" in settings.agent
    ):
        # It is the user of the proxy's credentials (RFC 7617).
        raise Misconfigured("--agent (or KZ_AGENT) must have 1 to 256 printable characters, none of them a colon")
    return serve(settings)


def _port(flag: int | None, variable: str, default: int, name: str) -> int:
    if flag is None and variable and not (variable.isascii() and variable.isdigit()):
        raise Misconfigured(f"{name} must be from 0 to 65535")
    port = flag if flag is not None else int(variable) if variable else default
    if not 0 <= port <= 65535:
        raise Misconfigured(f"{name} must be from 0 to 65535")
    return port


def _mode(said: str) -> Mode:
    try:
        return Mode(said)
    except ValueError as err:
        raise Misconfigured("KZ_MODE must be observe or enforce") from err
