"""``kaizen server``: the control plane, API and console, over one data directory."""

from __future__ import annotations

import argparse
import ipaddress
import json
import logging
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from kaizen_security.contract.errors import Misconfigured

if TYPE_CHECKING:
    from kaizen_security.server.serve import Tls
    from kaizen_security.store.sqlite import SqliteStore

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.add_argument("--host", default=DEFAULT_HOST, help="address to listen on (%(default)s)")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="port to listen on, 0 for any (%(default)s)")
    parser.add_argument(
        "--data", type=Path, help="directory to keep everything in (KAIZEN_DATA, else below ~/.local/share)"
    )
    parser.add_argument("--tls-cert", type=Path, help="certificate chain (PEM): serve HTTPS")
    parser.add_argument("--tls-key", type=Path, help="its private key (PEM)")
    parser.add_argument(
        "--behind-proxy",
        action="store_true",
        help="a reverse proxy in front speaks HTTPS: allow it plain HTTP off loopback, take who asks from its X-Forwarded-For",
    )
    parser.add_argument(
        "--trusted-proxy",
        action="append",
        default=[],
        metavar="ADDRESS[/BITS]",
        help="with --behind-proxy: where such a proxy is (may be repeated; loopback when not given); nobody else is believed",
    )
    parser.add_argument(
        "--permit-export",
        action="append",
        default=[],
        metavar="HOST[:PORT]",
        help="an internal destination that exports and the reasoning model may reach, such as a collector in this network (may be "
        "repeated)",
    )
    for name, who, default in (("key", "of one API key", 1000.0), ("address", "from one address", 2000.0)):
        parser.add_argument(
            f"--rate-{name}",
            type=_rate,
            default=default,
            metavar="N",
            help=f"requests a second {who}, ten seconds' worth at once; 0 for no limit (%(default)g)",
        )
    parser.add_argument(
        "--openapi", action="store_true", help="print the description of the API (OpenAPI 3.1, JSON) and end"
    )
    parser.add_argument(
        "--log-level", default="warning", choices=("debug", "info", "warning", "error"), help="(%(default)s)"
    )


def _rate(said: str) -> float:
    rate = float(said)
    if not 0 <= rate < 1e6:
        raise argparse.ArgumentTypeError("must be from 0 to a million")
    return rate


def data_directory(said: Path | None) -> Path:
    """``--data``, else KAIZEN_DATA, else the place that XDG's base directories name."""
    from kaizen_security.client.config import data_folder

    return said if said is not None else Path(data_folder(os.environ))


def opened_store(directory: Path, *, exclusive: bool = False) -> SqliteStore:
    """The store of a server that was started there once, in use or not; the caller's to close. Raises Misconfigured."""
    from kaizen_security.store.files import FILE
    from kaizen_security.store.sqlite import SqliteStore

    # Looked at first: a store that is opened makes what is missing.
    if not (directory / FILE).is_file():
        raise Misconfigured(f"there is no Kaizen database in {directory}: start the server once, or give --data")
    return SqliteStore(directory, exclusive=exclusive)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check(args: argparse.Namespace) -> None:
    if bool(args.tls_cert) != bool(args.tls_key):
        raise Misconfigured("--tls-cert and --tls-key belong together: give both")
    if args.trusted_proxy and not args.behind_proxy:
        raise Misconfigured("--trusted-proxy belongs to --behind-proxy: give both")
    for path in (args.tls_cert, args.tls_key):
        if path is not None and not path.is_file():
            raise Misconfigured(f"there is no file {path}")
    if not (_is_loopback(args.host) or args.tls_cert or args.behind_proxy):
        raise Misconfigured(
            f"{args.host} is reached from other machines, and keys would cross the network in the clear: give --tls-cert and "
            "--tls-key, or --behind-proxy when a reverse proxy in front speaks HTTPS"
        )


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    if args.openapi:
        from kaizen_security.server.app import description

        print(json.dumps(description(), indent=2, ensure_ascii=False))
        return 0
    _check(args)
    # Loaded here: ``kaizen --help`` needs none of it.
    from kaizen_security.server import serve

    logging.basicConfig(level=args.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    tls = serve.Tls(cert=args.tls_cert, key=args.tls_key) if args.tls_cert else None
    if tls is not None:
        tls.check()
    # Before anything is made or shown: a password that is shown once must not be lost on a start that fails.
    sock = serve.listening_socket(args.host, args.port)
    try:
        return _serve(args, sock, tls)
    finally:
        sock.close()


def _serve(args: argparse.Namespace, sock: socket.socket, tls: Tls | None) -> int:
    from kaizen_security.exports import vault
    from kaizen_security.server import serve, setup
    from kaizen_security.server.forwarded import trusted_proxies
    from kaizen_security.server.settings import Settings
    from kaizen_security.store.sqlite import SqliteStore

    directory = data_directory(args.data)
    settings = Settings(
        vault=vault.Vault(directory / vault.FILE, said=os.environ.get("KAIZEN_ENC_KEY", "")),
        permitted=tuple(args.permit_export),
        rate_key=args.rate_key,
        rate_address=args.rate_address,
        trusted_proxies=trusted_proxies(args.trusted_proxy) if args.behind_proxy else (),
    )
    store = SqliteStore(directory)
    try:
        _greet(setup.first_start(store), directory)
        serve.run(store, sock, tls=tls, log_level=args.log_level, settings=settings)
    finally:
        store.close()
    return 0


def _greet(first: object, directory: Path) -> None:
    from kaizen_security.server.setup import FirstStart

    assert isinstance(first, FirstStart)
    if not first.created:
        return
    print(
        f"First start: made the organisation {first.organisation.name!r} in {directory}\n"
        f"  user      {first.user}\n"
        f"  password  {first.password}   (shown this once)\n"
        f"Make an API key for an agent with: kaizen keys create --name my-agent --data {directory}",
        file=sys.stdout,
        flush=True,
    )
