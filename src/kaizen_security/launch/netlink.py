"""The network of a fresh namespace: the loopback interface up, every address delivered to it (rtnetlink(7)).

So a connection to any address arrives on ``lo``, where a rule hands it to our listener or nobody answers. Needs no ``ip`` command.
"""

from __future__ import annotations

import fcntl
import socket
import struct

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_NLMSG_ERROR, _RTM_NEWROUTE = 2, 24
_NLM_F_REQUEST, _NLM_F_ACK, _NLM_F_CREATE = 1, 4, 0x400
_RT_TABLE_LOCAL, _RTPROT_STATIC, _RTN_LOCAL, _RT_SCOPE_HOST = 255, 4, 2, 254
_RTA_OIF = 4


def loopback_up() -> None:
    """Bring ``lo`` up. Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = fcntl.ioctl(sock, _SIOCGIFFLAGS, struct.pack("16sh14x", b"lo", 0))
        flags = struct.unpack("16sh14x", request)[1]
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


def everything_is_here() -> tuple[str, ...]:
    """Deliver every address to ``lo``; the families for which that was not possible (``ipv6`` may be switched off)."""
    failed = []
    for name, family in (("ipv4", socket.AF_INET), ("ipv6", socket.AF_INET6)):
        try:
            _local_route(family)
        except OSError:
            failed.append(name)
    return tuple(failed)


def _local_route(family: int) -> None:
    route = struct.pack("=BBBBBBBBI", family, 0, 0, 0, _RT_TABLE_LOCAL, _RTPROT_STATIC, _RT_SCOPE_HOST, _RTN_LOCAL, 0)
    body = route + struct.pack("=HHI", 8, _RTA_OIF, socket.if_nametoindex("lo"))
    flags = _NLM_F_REQUEST | _NLM_F_ACK | _NLM_F_CREATE
    message = struct.pack("=IHHII", 16 + len(body), _RTM_NEWROUTE, flags, 1, 0) + body
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as sock:
        sock.settimeout(5)
        sock.send(message)
        answer = sock.recv(4096)
    kind, code = struct.unpack_from("=4xH10xi", answer)
    if kind == _NLMSG_ERROR and code:
        raise OSError(-code, "no route to lo")
