"""Policy: what the organisation permits, as values. ``contract.compiled`` turns policies into something fast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kaizen_security.contract.action import Json

MODES = ("blocklist", "allowlist", "correlation")


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy of the wire contract.

    ``mode``   ``blocklist``, ``allowlist`` or ``correlation``
    ``rules``  blocklist: ``publishers ips domains hashes skill_patterns``; allowlist: ``publishers tools``;
               correlation: ``{"risky_sequence": "read_then_connect"}``
    """

    mode: str
    rules: Mapping[str, Json] = field(default_factory=dict)
    name: str = ""
    enabled: bool = True
