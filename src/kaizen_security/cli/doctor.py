"""``kaizen doctor``: which rung this machine can reach, and, with ``--coverage``, what each rung sees and stops."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys

from kaizen_security.contract.action import Json
from kaizen_security.contract.errors import Misconfigured
from kaizen_security.contract.verdict import Mode


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Its flags."""
    parser.add_argument(
        "--coverage",
        action="store_true",
        help="send harmless canaries through each way out, to a listener on this machine",
    )
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument(
        "--markdown", action="store_true", help="with --coverage: the table of docs/reference/coverage.md"
    )
    parser.add_argument(
        "--rung", choices=("kernel", "namespace", "proxy"), help="with --coverage: only this rung (default: all)"
    )

    parser.add_argument(
        "--report",
        metavar="AGENT",
        help="with --coverage: report it to the control plane, which shows it on that agent's page (a key of scope observer)",
    )


def run(args: argparse.Namespace) -> int:
    """0 when the kernel rung or a namespace is to be had and, with ``--coverage``, enforce mode stops every canary there."""
    return _coverage(args) if args.coverage else _features(as_json=args.json)


def _features(*, as_json: bool) -> int:
    from kaizen_security.launch.features import probe, reached

    features = probe()
    if as_json:
        document = [{"name": f.name, "here": f.here, "says": f.says, "mend": f.mend} for f in features]
        print(json.dumps({"rung": reached(features), "features": document}))
    else:
        for feature in features:
            sign = {True: "yes", False: "NO", None: "-"}[feature.here]
            print(f"{sign:>4}  {feature.name}: {feature.says}")
            if feature.mend and feature.here is not True:
                print(f"        to have it: {feature.mend}")
        print(f"\nThe strongest rung here is {reached(features)}")
    here = {feature.name for feature in features if feature.here}
    return 0 if here & {"eBPF programs", "network namespaces"} else 1


def _coverage(args: argparse.Namespace) -> int:
    from kaizen_security.launch.coverage import everything
    from kaizen_security.launch.coverage_page import document, lines, markdown
    from kaizen_security.launch.plan import Way

    ways = (Way(args.rung),) if args.rung else (Way.KERNEL, Way.NAMESPACE, Way.PROXY)
    found = everything(ways, os.environ, lambda text: print(text, file=sys.stderr))
    if args.json:
        print(json.dumps(document(found)))
    else:
        print(markdown(found) if args.markdown else "\n".join(lines(found)))
    if args.report:
        _report(args.report, document(found))
    held = [one for one in found if one.mode is Mode.ENFORCE and one.canaries and one.way is not Way.PROXY]
    good = bool(held) and all(canary.stopped for one in held for canary in one.canaries if canary.tried)
    return 0 if good else 1


def _report(agent: str, rungs: Json) -> None:
    """Raises KaizenError, OSError."""
    from urllib.parse import quote

    from kaizen_security.client import config
    from kaizen_security.client.http import Connection

    settings = config.load({}, os.environ)
    body = json.dumps({"machine": platform.node()[:64] or "unnamed", "rungs": rungs}).encode()
    connection = Connection(settings.base_url)
    try:
        path, headers = f"/v1/agents/{quote(agent, safe='')}/coverage", {"Authorization": f"Bearer {settings.api_key}"}
        status, _, said = connection.request("POST", path, body, headers, 30.0)
    finally:
        connection.close()
    if status != 200:
        raise Misconfigured(f"the control plane at {settings.base_url} does not take it: {status} {said[:300]!r}")
