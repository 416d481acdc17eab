"""``python egress/proxy.py`` and ``kaizen egress``: read the settings, serve."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from kaizen_security.contract.errors import KaizenError
from kaizen_security.egress import config
from kaizen_security.egress.life import serve


def main(argv: Sequence[str] | None = None) -> int:
    """Run the proxy: 0 after a clean end, 1 when it could not start."""
    parser = argparse.ArgumentParser(prog="proxy.py", description="The egress proxy of Kaizen.")
    config.add_arguments(parser)
    try:
        args = parser.parse_args(argv)
        return serve(config.load(args, config.environment()), again=lambda: config.load(args, config.environment()))
    except KaizenError as err:
        print(f"proxy.py: {err}", file=sys.stderr)
        return 1
