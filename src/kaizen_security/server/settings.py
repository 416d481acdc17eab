"""What an operator may set for a server, beyond where it listens."""

from __future__ import annotations

from dataclasses import dataclass

from kaizen_security.exports.vault import Vault


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """``vault`` keeps secrets of exports (None: there are no exports); ``permitted`` are internal destinations, ``host[:port]``.

    ``rate_key``, ``rate_address``: requests a second of one API key, from one address; 0 for no limit. ``behind_proxy``: addresses
    are what a reverse proxy says, so none of them is proof of being on this machine.
    """

    vault: Vault | None = None
    permitted: tuple[str, ...] = ()
    rate_key: float = 1000.0
    rate_address: float = 2000.0
    behind_proxy: bool = False
