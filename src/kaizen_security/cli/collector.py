"""``kaizen collector``: what the processes of an agent do, as the kernel sees it, one JSON object a line."""

from __future__ import annotations

import argparse
import json

from kaizen_security.cli import attach
from kaizen_security.contract.action import Action
from kaizen_security.contract.codec import Report, encode_report
from kaizen_security.contract.verdict import Verdict


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Those of ``kaizen attach`` that say what is held and how."""
    attach.add_held(parser)


def run(args: argparse.Namespace) -> int:
    """As ``kaizen attach``, with every action and the kernel's verdict on it printed in the wire contract's first shape."""

    def heard(action: Action, verdict: Verdict) -> None:
        print(json.dumps(encode_report(Report(action=action, verdict=verdict)), separators=(",", ":")), flush=True)

    return attach.hold(args, heard)
