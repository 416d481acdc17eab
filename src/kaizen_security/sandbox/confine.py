"""What the judging process may reach: the control plane and the model, and nothing else, from here on and for good.

A hook of the interpreter (PEP 578) refuses every other connection, every other name that is looked up, and every child process,
whoever in this process asks. It cannot be taken away again. It holds for Python's own sockets, which are all that this process
uses; where a network policy or a security group can be set around the container, set it too (``deploy/``).
"""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Collection
from time import monotonic
from urllib.parse import urlsplit

from kaizen_security.contract.errors import Misconfigured
from kaizen_security.reasoners.choice import Provider
from kaizen_security.reasoners.config import Configured

FRESH = 30.0
"""Seconds for which the addresses of a name are believed."""
_SENDS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_NAMES = frozenset({"socket.getaddrinfo", "socket.gethostbyname"})
_TURNED = frozenset({"socket.gethostbyaddr", "socket.getnameinfo"})
"""Looks a name up by an address, or by a name: nothing here needs that, and what is asked may say anything to whoever answers."""
_CHILDREN = frozenset(
    {"subprocess.Popen", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system"}
)
_ROLES = (("169.254.169.254", 80), ("169.254.170.2", 80), ("fd00:ec2::254", 80))
"""Where a machine's role gets its credentials: EC2 and ECS."""


class Confined(PermissionError):
    """This process may not go there."""


class Fence:
    """``places``: hosts with their ports. ``refused`` counts what was tried and not let through."""

    def __init__(self, places: Collection[tuple[str, int]]) -> None:
        self.places = frozenset((host.lower().rstrip("."), port) for host, port in places)
        self._names = frozenset(host for host, _ in self.places)
        self._addresses: dict[str, tuple[float, frozenset[str]]] = {}
        self.refused = 0

    def hook(self, event: str, args: tuple[object, ...]) -> None:
        """The audit hook. Raises Confined."""
        if event in _SENDS:
            self._send(args[0], args[-1])
        elif event in _NAMES:
            host = _text(args[0])
            if host not in self._names and not _numeric(host):
                self._refuse(f"the name {host[:64]}")
        elif event in _TURNED:
            self._refuse("a name by its address")
        elif event in _CHILDREN:
            self._refuse("another process")

    def _send(self, wire: object, address: object) -> None:
        if not isinstance(address, tuple) or len(address) < 2:
            # A path is a Unix socket: nothing of ours is behind one, a container engine's may be. None: an answer on a
            # connection that is there already.
            if address is not None and getattr(wire, "family", None) == socket.AF_UNIX:
                self._refuse("a Unix socket")
            return
        host, port = _text(address[0]), address[1]
        if not any(port == at and (host == name or host in self._of(name)) for name, at in self.places):
            self._refuse(f"{host}:{port}")

    def _of(self, name: str) -> frozenset[str]:
        known = self._addresses.get(name)
        if known is not None and monotonic() - known[0] < FRESH:
            return known[1]
        try:
            # Itself one of the names that may be looked up.
            found = frozenset(str(entry[4][0]) for entry in socket.getaddrinfo(name, None))
        except OSError:
            found = known[1] if known is not None else frozenset()
        if found:  # a name that could not be resolved just now is asked for again at the next connection
            self._addresses[name] = (monotonic(), found)
        return found

    def _refuse(self, what: str) -> None:
        self.refused += 1
        raise Confined(f"the sandbox reaches its control plane and its model only, not {what}")


def places(api_url: str, model: Configured) -> list[tuple[str, int]]:
    """Where the sandbox has to go. Raises Misconfigured."""
    found, choice = [], model.choice
    if model.identity is not None:
        # Whoever gives the token for the model.
        found += [_place(url) for url in model.identity.places]
    if api_url:
        found.append(_place(api_url))
    if choice.provider not in (Provider.OFF, Provider.LOCAL) and choice.place:
        found.append(_place(choice.place))
        if choice.provider is Provider.BEDROCK and not choice.key:
            found += [*_ROLES, (f"sts.{choice.region}.amazonaws.com", 443)]
    return found


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    if not parts.hostname:
        raise Misconfigured(f"{url} names no host")
    return parts.hostname, parts.port or (80 if parts.scheme == "http" else 443)


def confine(allowed: Collection[tuple[str, int]]) -> Fence:
    """Confine this process, for good."""
    fence = Fence(allowed)
    for name, _ in fence.places:
        fence._of(name)
    sys.addaudithook(fence.hook)
    return fence


def _text(value: object) -> str:
    return (
        value.decode("ascii", "replace").lower() if isinstance(value, bytes) else str(value or "").lower().rstrip(".")
    )


def _numeric(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError):
            socket.inet_pton(family, host.partition("%")[0])
            return True
    return not host
