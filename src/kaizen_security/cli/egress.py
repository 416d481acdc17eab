"""``kaizen egress``: the egress proxy (docs/how-to/egress-proxy.md), and what payload inspection needs beside it."""

from __future__ import annotations

import argparse
import os
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from kaizen_security.contract.errors import Misconfigured
from kaizen_security.egress import config
from kaizen_security.egress.life import serve

if TYPE_CHECKING:
    from kaizen_security.egress.opening import Opening
    from kaizen_security.egress.proxy import Proxy

MISSING = "inspect: opening TLS needs the library `cryptography`: pip install '.[inspect]' in the checkout"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its flags, and the commands of payload inspection."""
    config.add_arguments(parser)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", help="(none: serve)")
    ca = actions.add_parser("ca", help="make an authority whose certificates the proxy shows to its clients")
    ca.add_argument(
        "--cert", type=Path, required=True, help="file to make for its certificate: clients have to trust it"
    )
    ca.add_argument("--key", type=Path, required=True, help="file to make for its key, readable by you alone")
    ca.add_argument("--name", default="Kaizen egress inspection", help="what it is called in clients' stores")
    ca.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="DOMAIN",
        help="sign for this domain or network only (repeatable)",
    )
    trust = actions.add_parser("trust", help="print the environment in which an agent trusts the authority too")
    trust.add_argument("--ca", type=Path, required=True, help="its certificate")
    trust.add_argument(
        "--bundle", type=Path, required=True, help="file to write: what is trusted here, and the authority"
    )
    documents = actions.add_parser("documents", help="take fingerprints of texts that must not leave")
    documents.add_argument("--file", type=Path, required=True, help="where they are kept (made when it is missing)")
    documents.add_argument("text", type=Path, nargs="+", help="text files; one of the same name is replaced")


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; SIGHUP reads the settings anew, SIGUSR2 lets a successor take over."""
    if args.action is not None:
        _ACTIONS[args.action](args)
        return 0
    settings = config.load(args, config.environment())
    opening = None if settings.inspect is None else _opening()
    return serve(settings, again=lambda: config.load(args, config.environment()), opening=opening)


def _opening() -> Callable[[Proxy], Opening]:
    try:
        from kaizen_security.interception.files import opening
    except ImportError as err:
        raise Misconfigured(MISSING) from err
    return opening


def _ca(args: argparse.Namespace) -> None:
    try:
        from kaizen_security.interception import authority, clock
    except ImportError as err:
        raise Misconfigured(MISSING) from err
    authority.create(args.cert, args.key, name=args.name, permitted=args.only, now=clock.now())
    print(f"{args.cert} is what clients have to trust; {args.key} is for the proxy alone")


def _trust(args: argparse.Namespace) -> None:
    from kaizen_security.interception import trust

    pem = trust.bundle(args.ca, os.environ)
    try:
        args.bundle.write_text(pem)
    except OSError as err:
        raise Misconfigured(f"{args.bundle} cannot be written: {err.strerror}") from err
    for name, value in trust.variables(args.ca.resolve(), args.bundle.resolve()).items():
        print(f"export {name}={shlex.quote(value)}")


def _documents(args: argparse.Namespace) -> None:
    try:
        from kaizen_security.interception.files import add_documents
    except ImportError as err:
        raise Misconfigured(MISSING) from err
    print(f"{args.file} holds {add_documents(args.file, args.text)} documents")


_ACTIONS = {"ca": _ca, "trust": _trust, "documents": _documents}
