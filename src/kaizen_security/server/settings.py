"""What an operator may set for a server, beyond where it listens."""

from __future__ import annotations

from dataclasses import dataclass

from kaizen_security.exports.vault import Vault


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """``vault`` keeps secrets of exports (None: there are no exports); ``permitted`` are internal destinations, ``host[:port]``."""

    vault: Vault | None = None
    permitted: tuple[str, ...] = ()
