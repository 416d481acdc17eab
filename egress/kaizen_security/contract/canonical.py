"""One spelling for everything that is compared: hosts, addresses, targets, URLs, tool names, hashes.

Pure, bounded, ASCII first. ``host`` raises ValueError, ``target`` and ``tool`` take any text. ADR 0002 says where
and why this differs from the deployed clients; ``spec/vectors/canonical.json`` is the law for every language.
"""

from __future__ import annotations

from kaizen_security.contract.canonical_host import host
from kaizen_security.contract.canonical_network import Network, is_internal, network
from kaizen_security.contract.canonical_target import Target, destination, reached, read, target, url
from kaizen_security.contract.canonical_text import digest, permitted, publisher, tool

__all__ = [
    "host",
    "target",
    "Target",
    "destination",
    "read",
    "reached",
    "url",
    "tool",
    "publisher",
    "permitted",
    "digest",
    "Network",
    "network",
    "is_internal",
]
