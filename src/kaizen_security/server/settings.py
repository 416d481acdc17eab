"""What an operator may set for a server, beyond where it listens."""

from __future__ import annotations

from dataclasses import dataclass

from kaizen_security.exports.vault import Vault
from kaizen_security.server.forwarded import Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """``vault`` keeps secrets of exports (None: there are no exports); ``permitted`` are internal destinations, ``host[:port]``.

    ``rate_key``, ``rate_address``: requests a second of one API key, from one address; 0 for no limit. ``trusted_proxies``: where
    the reverse proxies are that speak HTTPS for the server and say who asks (``server.forwarded``); none: there is no such proxy.
    """

    vault: Vault | None = None
    permitted: tuple[str, ...] = ()
    rate_key: float = 1000.0
    rate_address: float = 2000.0
    trusted_proxies: tuple[Network, ...] = ()

    @property
    def behind_proxy(self) -> bool:
        """Addresses are what a reverse proxy says, so none of them is proof of being on this machine."""
        return bool(self.trusted_proxies)
