"""Behind a reverse proxy: who really asks, by the word of proxies that the operator named and of nobody else.

``X-Forwarded-For`` is written by whoever sends it, and each proxy appends the address that it saw (RFC 7239, section 5.2, has the
same for ``Forwarded``). So it is read from the right, and only as far as it was written by a proxy that is trusted.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from starlette.types import ASGIApp, Receive, Scope, Send

from kaizen_security.contract.errors import Misconfigured
from kaizen_security.server.http import error_answer, forbidden

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

LOOPBACK = ("127.0.0.0/8", "::1")
"""The proxies that are trusted when none is named."""
HOPS = 32
"""Addresses of the header that are looked at, from the right."""
HEALTH = frozenset({"/healthz", "/readyz"})
"""What a load balancer asks directly: these carry no key."""


def trusted_proxies(said: Iterable[str]) -> tuple[Network, ...]:
    """Where the proxies are that are trusted; loopback when none is named. Raises Misconfigured naming the one that cannot be."""
    found = []
    for one in tuple(said) or LOOPBACK:
        try:
            network = ipaddress.ip_network(one.strip())
        except ValueError as err:
            raise Misconfigured(f"--trusted-proxy {one}: {err}") from err
        if network.prefixlen == 0:
            raise Misconfigured(f"--trusted-proxy {one}: that is everybody, and then anybody may say who they are")
        found.append(network)
    return tuple(found)


class Trusted:
    """Reads what proxies say. ``networks``: where those are that are believed."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = tuple(networks)

    def believes(self, address: str) -> bool:
        """Whether a proxy is at ``address``."""
        found = _address(address)
        return found is not None and self._holds(found)

    def _holds(self, address: Address) -> bool:
        return any(address.version == network.version and address in network for network in self._networks)

    def client(self, peer: str, forwarded: Sequence[str]) -> str:
        """The address of whoever asked the outermost trusted proxy. ``forwarded``: the header's lines in their order.

        The peer itself when it is not trusted. What is no address ends the walk: then the last proxy is all that is known.
        """
        if not self.believes(peer):
            return peer
        hops = [hop for line in forwarded for hop in line.split(",")]
        known = peer
        for hop in reversed(hops[-HOPS:]):
            address = _address(hop)
            if address is None:
                return known
            known = str(address)
            if not self._holds(address):
                return known
        return known


def _address(said: str) -> Address | None:
    """The address in ``1.2.3.4``, ``1.2.3.4:567``, ``::1`` or ``[::1]:567``; mapped IPv4 as what it is. None when it is none."""
    text = said.strip()[:64]
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


class Forwarded:
    """ASGI middleware: puts the real client in the place of the proxy, and refuses what came over the network in the clear.

    Refused with 403 before anything is read: a peer that is neither a trusted proxy nor on this machine (it speaks plain HTTP),
    and a request of which the proxy itself says that it came by plain HTTP from another machine.
    """

    def __init__(self, app: ASGIApp, trusted: Trusted) -> None:
        self._app = app
        self._trusted = trusted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, with ``client`` and ``scheme`` of the scope as the proxy saw them."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        peer = scope["client"][0] if scope.get("client") else ""
        client = self._trusted.client(peer, _header(scope, b"x-forwarded-for"))
        scheme = "https"
        if not self._trusted.believes(peer):
            scheme = "http"
        elif said := [word.strip() for line in _header(scope, b"x-forwarded-proto") for word in line.split(",")]:
            # The nearest proxy's word, which it appends or puts in the place of the client's.
            scheme = "https" if said[-1].lower() == "https" else "http"
        if scheme == "http" and not _is_here(client) and scope["path"] not in HEALTH:
            refusal = forbidden("plain HTTP from another machine: use HTTPS, through the proxy in front of this server")
            await error_answer(refusal)(scope, receive, send)
            return
        await self._app({**scope, "client": (client, 0), "scheme": scheme}, receive, send)


def _header(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]


def _is_here(address: str) -> bool:
    found = _address(address)
    return found is not None and found.is_loopback
