"""``kaizen egress``: the egress proxy (docs/how-to/egress-proxy.md)."""

from __future__ import annotations

import argparse

from kaizen_security.egress import config
from kaizen_security.egress.life import serve


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    config.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; SIGHUP reads the settings anew, SIGUSR2 lets a successor take over."""
    return serve(config.load(args, config.environment()), again=lambda: config.load(args, config.environment()))
