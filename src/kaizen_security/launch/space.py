"""A user and network namespace whose only ways out are sockets that we hold outside it.

The child calls ``enter``: from then on it has ``lo`` and nothing else. The listening sockets that it makes there are sent to the
supervisor, which serves them from outside; so what arrives there leaves through the proxy, and nothing else leaves at all.
"""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from kaizen_security.collectors.kernel import linux
from kaizen_security.launch.netlink import everything_is_here, loopback_up

TRANSPARENT, PROXY, NAMES = 3129, 3128, 53
"""Ports inside: every TCP connection goes to the first, clients with proxy variables use the second, names are asked at 53."""
_NFT = (
    "/usr/sbin/nft",
    "/sbin/nft",
    "/usr/bin/nft",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What ``enter`` made: the roles of the sockets it sends out, in order, and what could not be had, in words."""

    roles: tuple[str, ...]
    lacks: tuple[str, ...]


def map_identity(uid: int, gid: int) -> None:
    """Be the same user inside the user namespace that was just made. Raises OSError."""
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def enter(local: Sequence[int], *, users: bool) -> tuple[Made, list[socket.socket]]:
    """Leave the host's network. ``local``: ports of the host's loopback that stay reachable under the same number.

    ``users``: with a user namespace, which whoever is not root needs. Raises OSError where namespaces are refused.
    """
    uid, gid = os.getuid(), os.getgid()
    flags = linux.CLONE_NEWNET | linux.CLONE_NEWNS
    linux.unshare(flags | (linux.CLONE_NEWUSER if users else 0))
    if users:
        map_identity(uid, gid)
    linux.mount("none", "/", "", linux.MS_REC | linux.MS_PRIVATE)
    loopback_up()
    lacks = [f"{family} to other addresses ends at once, unseen" for family in everything_is_here()]
    sockets, roles = [], []

    def add(role: str, sock: socket.socket) -> None:
        sockets.append(sock)
        roles.append(role)

    for role, port in (("transparent", TRANSPARENT), ("proxy", PROXY), *((f"local:{port}", port) for port in local)):
        add(role, _listen("127.0.0.1", port))
    with suppress(OSError):
        add("transparent", _listen("::1", TRANSPARENT))
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with suppress(OSError):
            asked = socket.socket(family, socket.SOCK_DGRAM)
            asked.bind((address, NAMES))
            add("names", asked)
    with suppress(OSError):
        add("watch", socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0003)))
    trouble = _redirect()
    if trouble:
        lacks.append(f"clients that ignore the proxy variables are refused, not led to the proxy ({trouble})")
    return Made(roles=tuple(roles), lacks=tuple(lacks)), sockets


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind((host, port))
    sock.listen(1024)
    return sock


RULES = f"""
table inet kaizen {{
 chain out {{
  type nat hook output priority -100; policy accept;
  ip daddr 127.0.0.0/8 return
  ip6 daddr ::1 return
  meta l4proto tcp redirect to :{TRANSPARENT}
  udp dport {NAMES} redirect to :{NAMES}
 }}
}}
"""
"""What a connection to anywhere else meets. Loopback is the agent's own: its servers and tests talk there as ever."""


def _redirect() -> str:
    """Lead TCP and questions for names to our sockets; why not, in words, where that is not possible."""
    program = next((path for path in _NFT if os.access(path, os.X_OK)), "")
    if not program:
        return "there is no nft command"
    # A program that is started here has no rights over the namespace otherwise, unless its user is root inside.
    with linux.handed_on(linux.CAP_NET_ADMIN):
        done = subprocess.run([program, "-f", "-"], input=RULES, text=True, capture_output=True, timeout=20)
    return done.stderr.strip().splitlines()[0][:200] if done.returncode else ""
