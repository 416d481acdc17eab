"""Who uses the proxy: peers by address, agents by proxy credentials (RFC 7617: ``Basic AGENT:KEY``). It is never an open proxy."""

from __future__ import annotations

import binascii
import hashlib
import hmac
from base64 import b64decode
from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_network

from kaizen_security.contract.shares import plain_address

_PRIVATE = tuple(
    ip_network(text) for text in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7")
)
MAX_AGENT = 256


@lru_cache(maxsize=4096)
def is_private(peer: str) -> bool:
    """Whether a peer's address is loopback, RFC 1918 or unique local (RFC 4193)."""
    try:
        address = plain_address(peer)
    except ValueError:
        return False
    return any(address in network for network in _PRIVATE)


class NeedsCredentials(Exception):
    """This peer must say who it is: ``possible`` tells whether there is any key that would do."""

    def __init__(self, problem: str, *, possible: bool) -> None:
        super().__init__(problem)
        self.possible = possible


class Accounts:
    """Names the agent behind a request."""

    def __init__(
        self,
        *,
        default: str,
        own_key: str,
        credentials: Mapping[str, str],
        required: bool,
        sources: Sequence[tuple[IPv4Network | IPv6Network, str]] = (),
    ) -> None:
        self._default = default
        self._sources = tuple(sources)
        self._of_source = lru_cache(maxsize=4096)(self._look)
        self._own = _digest(own_key) if own_key else b""
        self._keys = {agent: _stored(key) for agent, key in credentials.items()}
        self._required = required

    def of_peer(self, peer: str) -> str:
        """The agent behind a peer's address, for what carries no credentials."""
        return self._of_source(peer)

    def agent(self, peer: str, values: list[bytes]) -> str:
        """The agent that ``peer`` speaks for; ``values`` are those of Proxy-Authorization. Raises NeedsCredentials.

        Credentials that are given are checked even where none are needed: a wrong key is a mistake that somebody should see.
        """
        possible = bool(self._own or self._keys)
        if not values:
            if not is_private(peer):
                raise NeedsCredentials(
                    "peers that are not on a private network need proxy credentials", possible=possible
                )
            if self._required:
                raise NeedsCredentials("this proxy needs proxy credentials", possible=possible)
            return self._of_source(peer)
        if len(values) == 1:
            agent, key = _basic(values[0])
            if agent and self._right(agent, key):
                return agent
        raise NeedsCredentials("the proxy credentials are not AGENT:KEY of an agent of this proxy", possible=possible)

    def _look(self, peer: str) -> str:
        """The agent behind a peer's address: of the first network that holds it."""
        address = plain_address(peer)
        return next((agent for network, agent in self._sources if address in network), self._default)

    def _right(self, agent: str, key: str) -> bool:
        given = _digest(key)
        own = bool(self._own) and hmac.compare_digest(given, self._own)
        listed = hmac.compare_digest(given, self._keys.get(agent, b"-"))
        return own or listed


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _stored(key: str) -> bytes:
    scheme, colon, rest = key.partition(":")
    if colon and scheme == "sha256":
        try:
            return bytes.fromhex(rest)
        except ValueError:
            return b"-"
    return _digest(key)


def _basic(value: bytes) -> tuple[str, str]:
    scheme, _, rest = value.partition(b" ")
    if scheme.lower() != b"basic":
        return "", ""
    try:
        agent, _, key = b64decode(rest.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return "", ""
    if len(agent) > MAX_AGENT or not agent.isprintable():
        return "", ""
    return agent, key
