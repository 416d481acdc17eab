"""Landlock (landlock(7)), which needs no privilege: TCP only to the proxy's port; no tracing and no signals but among the agent's.

For where namespaces are refused, as in most containers. Landlock knows ports, not addresses: a server elsewhere that listens on the
proxy's very port can be reached, and UDP is none of its business (the seccomp filter refuses that).
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterable

from kaizen_security.collectors.kernel.linux import PR_SET_NO_NEW_PRIVS, prctl, syscall

_VERSION = 1
_NET_PORT = 2
_CONNECT_TCP = 1 << 1
_MAKE_BLOCK = 1 << 11
_SCOPE_ABSTRACT_UNIX, _SCOPE_SIGNAL = 1, 2
NETWORK, SCOPES = 4, 6
"""The versions that brought rules on ports, and scopes."""


def abi() -> int:
    """The version of Landlock that the kernel offers, 0 when it offers none."""
    try:
        return syscall("landlock_create_ruleset", None, 0, _VERSION)
    except OSError:
        return 0


def ruleset(version: int, *, network: bool) -> bytes:
    """The attributes of a ruleset (struct landlock_ruleset_attr) as that version takes them.

    Every ruleset keeps a process from tracing others outside of it, but an empty one is refused: making block devices, which no
    agent does, is what it names.
    """
    scoped = _SCOPE_ABSTRACT_UNIX | _SCOPE_SIGNAL if version >= SCOPES else 0
    size = 24 if version >= SCOPES else 16 if version >= NETWORK else 8
    return struct.pack("=QQQ", _MAKE_BLOCK, _CONNECT_TCP if network else 0, scoped)[:size]


def restrict(ports: Iterable[int] | None) -> None:
    """Permit TCP connections to ``ports`` only (None: to all). Processes outside can neither be traced nor, from version 6 on, be
    signalled or reached by abstract sockets.

    Raises OSError where this kernel cannot do what was asked for.
    """
    version = abi()
    if version < (1 if ports is None else NETWORK):
        raise OSError(errno.EOPNOTSUPP, f"this kernel's Landlock is of version {version}")
    about = ruleset(version, network=ports is not None)
    rules = syscall("landlock_create_ruleset", ctypes.create_string_buffer(about, len(about)), len(about), 0)
    try:
        for port in ports or ():
            rule = ctypes.create_string_buffer(struct.pack("=QQ", _CONNECT_TCP, port), 16)
            syscall("landlock_add_rule", rules, _NET_PORT, rule, 0)
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        syscall("landlock_restrict_self", rules, 0)
    finally:
        os.close(rules)
