"""Addresses of our own services, and sockets to them: TCP or Unix, with one deadline for looking up and connecting."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic, sleep
from typing import TYPE_CHECKING

from kaizen_security.client import own
from kaizen_security.contract.errors import Misconfigured

if TYPE_CHECKING:
    import socket


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where to connect: ``scheme`` is http, https or unix; ``path`` is the socket for unix, else a prefix of every request."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The Host field (RFC 9110, section 7.2): the port only when it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port in (0, _PORTS.get(self.scheme)) else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"unix://{self.path}" if self.scheme == "unix" else f"{self.scheme}://{self.authority}{self.path}"


_PORTS = {"http": 80, "https": 443}
NO_UNIX = "this system has no Unix sockets: give the sidecar's loopback address, http://127.0.0.1:8001"


def place(url: str) -> Place:
    """``http://host[:port][/prefix]``, ``https://…`` or ``unix:///path/to/socket``. Raises Misconfigured saying what is wrong."""
    scheme, separator, rest = url.strip().partition("://")
    scheme = scheme.lower()
    if scheme == "unix" and separator:
        if not rest.startswith("/"):
            raise Misconfigured(f"{url!r} must be unix:// and an absolute path, as in unix:///run/kaizen.sock")
        return Place(scheme="unix", host="localhost", port=0, path=rest)
    if not separator:
        # Whatever this is, a key that stands in the place of an address too, it is not to be read in a log.
        raise Misconfigured("what is given must start with http://, https:// or unix://")
    if scheme not in _PORTS:
        raise Misconfigured(f"{_shown(url)!r} must start with http://, https:// or unix://")
    authority, slash, path = rest.partition("/")
    if "@" in authority:
        raise Misconfigured(
            f"the address of {scheme}://{authority.rpartition('@')[2]} must not carry a name or password"
        )
    if "?" in rest or "#" in rest or not rest.isascii() or not rest.isprintable() or " " in rest:
        raise Misconfigured(f"{_shown(url)!r} must be printable ASCII without a query or a fragment")
    host, port = _host_port(authority, url)
    return Place(scheme=scheme, host=host, port=port or _PORTS[scheme], path=(slash + path).rstrip("/"))


def check_reachable(url: str) -> None:
    """Raises Misconfigured for a Unix socket on a system that has none."""
    import socket

    if url.startswith("unix://") and not hasattr(socket, "AF_UNIX"):
        raise Misconfigured(NO_UNIX)


def check_key_may_go(url: str, key: str) -> None:
    """Raises Misconfigured when requests to ``url`` would carry ``key`` over a network that others can read.

    Plain HTTP is for this machine: 127.0.0.0/8, ::1 and names of localhost (RFC 6761, section 6.3). There is no switch: a key that
    was read on its way is everybody's, and TLS, a tunnel to loopback or a Unix socket is always to be had.
    """
    if not key or not url:
        return
    where = place(url)
    if where.scheme == "http" and not _local(where.host):
        raise Misconfigured(
            f"{where} would carry the API key unencrypted over the network: use https://, an address of this machine "
            "(a tunnel will do), or a Unix socket"
        )


def _local(host: str) -> bool:
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    from ipaddress import ip_address

    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _host_port(authority: str, url: str) -> tuple[str, int]:
    if authority.startswith("["):
        host, closed, after = authority[1:].partition("]")
        host = host if closed else ""
        colon, port = after[:1], after[1:]
    else:
        host, colon, port = authority.partition(":")
    known = port.isascii() and port.isdigit() and 0 < int(port) < 65536
    if not host or colon not in ("", ":") or (colon and not known):
        raise Misconfigured(f"{_shown(url)!r} has no host, or no port from 1 to 65535")
    return host, int(port) if colon else 0


def _shown(url: str) -> str:
    """An address for an error message: whatever might be a password or a token is cut off."""
    return url.rpartition("@")[2].partition("?")[0].partition("#")[0][:200]


def left(at: float) -> float:
    """Seconds until ``at`` on the monotonic clock. Raises TimeoutError when it has passed."""
    left = at - monotonic()
    if left <= 0:
        raise TimeoutError
    return left


KNOCK = 0.005
"""Seconds before a Unix socket that has too many at its door is knocked at again."""


def dial_unix(path: str, at: float) -> socket.socket:
    """A stream to the socket file. Raises OSError, Misconfigured where there are no such sockets."""
    import socket

    family = getattr(socket, "AF_UNIX", None)
    if family is None:
        raise Misconfigured(NO_UNIX)
    while True:
        try:
            return _connected(socket.socket(family, socket.SOCK_STREAM), path, at)
        except BlockingIOError:
            # Not "in progress", which a Unix socket never is: more knock than the other side has taken in so far.
            sleep(min(KNOCK, left(at)))


def dial_tcp(host: str, port: int, at: float) -> socket.socket:
    """A stream to the first address of the name that answers; each gets its share of the time that is left. Raises OSError."""
    import socket

    addresses = _addresses(host, port, at)
    failure: OSError = OSError(f"the name {host} has no address")
    for i, (family, address) in enumerate(addresses):
        held = socket.socket(family, socket.SOCK_STREAM)
        try:
            held.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return _connected(held, address, monotonic() + left(at) / (len(addresses) - i))
        except OSError as err:
            failure = err
    raise failure


def _connected(held: socket.socket, address: object, at: float) -> socket.socket:
    try:
        held.settimeout(left(at))
        held.connect(address)  # type: ignore[arg-type]  # its shape is the family's own
    except OSError:
        held.close()
        raise
    return held


def _addresses(host: str, port: int, at: float) -> list[tuple[int, object]]:
    """What the name resolves to. The resolver knows no deadline, so what is no address is looked up in a thread of its own."""
    import socket

    found: list[tuple[int, object]] = []
    failed: list[OSError] = []

    def look_up() -> None:
        try:
            found.extend((info[0], info[4]) for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except OSError as err:
            failed.append(err)

    if ":" in host or host.rpartition(".")[2].isdigit() or host == "localhost":
        look_up()
    else:
        thread = own.thread(look_up, "kaizen-resolve")
        if own.start(thread):
            thread.join(left(at))
            if thread.is_alive():
                raise TimeoutError
        else:
            look_up()
    if failed:
        raise failed[0]
    return list(dict.fromkeys(found))
